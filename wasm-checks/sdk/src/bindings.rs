//! The world `probity:check/plugin`, and how a [`Check`] fits in.

use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::marker::PhantomData;

use self::exports::probity::check::guest;
use self::probity::check::types::{Action, Context, Description, Event};
use crate::{Check, config, handle};

wit_bindgen::generate!({
    path: "wit",
    world: "plugin",
    pub_export_macro: true,
    export_macro_name: "export_plugin",
    additional_derives: [PartialEq],
});

/// A check, as the world wants it.
pub struct Exported<C>(PhantomData<C>);

/// One run of it.
pub struct Session<C>(RefCell<C>);

impl<C> fmt::Debug for Exported<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exported")
    }
}

impl<C> fmt::Debug for Session<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session")
    }
}

impl<C: Check> guest::Guest for Exported<C> {
    type Session = Session<C>;

    fn describe() -> Description {
        C::describe()
    }

    fn validate(config: String) -> Result<(), String> {
        C::validate(&config::parse(&config)?)
    }
}

impl<C: Check> guest::GuestSession for Session<C> {
    fn new(context: Context) -> Self {
        let config = config::parse(&context.config);
        // `validate` has taken it, or probity would not have got here.
        let config = config.unwrap_or_else(|why| panic!("{why}"));
        Self(RefCell::new(C::open(config, &context)))
    }

    fn on_event(&self, now_ns: u64, event: Event) -> Vec<Action> {
        handle(&mut *self.0.borrow_mut(), now_ns, &event)
    }
}
