"""Damage that a disk does to a file."""

from pathlib import Path

from hypothesis import strategies as st

damages = st.one_of(
    st.tuples(st.just("flip"), st.floats(0, 1, exclude_max=True), st.integers(1, 255)),
    st.tuples(st.just("cut"), st.floats(0, 1, exclude_max=True), st.just(0)),
    st.tuples(st.just("zero"), st.floats(0, 1, exclude_max=True), st.just(0)),
)


def damage(path: Path, how: tuple[str, float, int]) -> None:
    """Change a byte, cut the file off, or let it be zero from a place on, as disks do."""
    kind, share, bits = how
    whole = path.read_bytes()
    place = int(share * len(whole))
    rest = {"cut": b"", "zero": bytes(len(whole) - place)}
    flipped = bytes([whole[place] ^ bits]) + whole[place + 1 :]
    changed = whole[:place] + rest.get(kind, flipped)
    # The line break at a manifest's end is not what it says.
    path.write_bytes(changed if changed.strip() != whole.strip() else b"")


def cut_in_half(path: Path) -> None:
    """Leave the first half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def overwrite(path: Path) -> None:
    """Put something else into a file."""
    path.write_bytes(b"PAR1 but not really PAR1")
