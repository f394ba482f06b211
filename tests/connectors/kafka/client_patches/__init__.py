"""Tests of connectors, kafka, client_patches."""
