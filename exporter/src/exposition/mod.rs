//! Exposition formats: what a scrape is answered with.
