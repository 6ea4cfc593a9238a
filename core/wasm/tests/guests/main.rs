//! Guests that are written as text: what they may do, and what becomes of those
//! that do something else.

mod bombs;
mod guest;
mod hostile;
mod kept;
mod loading;
mod running;
mod scripts;
mod support;
mod together;
