"""What a clip store's files hold, read so that a damaged or hostile one does no harm."""
