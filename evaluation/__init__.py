"""What every test script shares."""
