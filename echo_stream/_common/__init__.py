"""What every layer of the engine uses: types, devices, exact rounding, hashes."""
