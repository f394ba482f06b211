"""Tests of records, pages and pictures."""
