//! What stands for `tls.rs` in a build without it: there is no such thing, and who
//! asks for one is told.

use std::convert::Infallible;
use std::mem::MaybeUninit;

use ::probity_engine::tls::TlsFailure;
use ::probity_engine::{Closed, Conn, Input, Lease, Output, RunId};

use crate::output::probity_output;
use crate::result::{Result, probity_result};

pub(crate) struct Tls(Infallible);

/// See `tls.rs`.
pub(crate) enum Taken {
    #[expect(dead_code, reason = "nobody is there to take anything")]
    No,
    #[expect(dead_code, reason = "likewise")]
    Yes,
    #[expect(dead_code, reason = "likewise")]
    Failed(Conn, TlsFailure),
}

impl Tls {
    pub(crate) fn new() -> Result<Self> {
        Err(probity_result::Unsupported)
    }

    pub(crate) fn ahead(&self) -> Option<Lease> {
        match self.0 {}
    }

    pub(crate) fn next(&mut self, _: &mut MaybeUninit<probity_output>) -> u32 {
        match self.0 {}
    }

    pub(crate) fn take(&mut self, _: RunId, _: &Output<'_>) -> Taken {
        match self.0 {}
    }

    pub(crate) fn received(
        &mut self,
        _: RunId,
        _: Conn,
        _: &[u8],
        _: impl FnMut(Input<'_>),
    ) -> bool {
        match self.0 {}
    }

    pub(crate) fn closed(&mut self, _: RunId, _: Conn, _: Closed) -> Option<Closed> {
        match self.0 {}
    }
}
