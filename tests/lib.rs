//! Holds nothing itself: the suites are the `[[test]]` targets beside it, one
//! folder each.
