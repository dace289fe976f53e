"""One file format a module; each defines ``FORMAT`` (see ``audit.formats.raster``)."""
