"""A head in three dimensions out of one picture: rasteriser, textured face, the whole head turned."""
