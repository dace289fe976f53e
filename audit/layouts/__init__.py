"""One folder layout a module; each defines ``LAYOUT`` (see ``audit.layouts.row``)."""
