//! What checks may take.

/// What kind of code a check is: what its calls may take, and where they are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Class {
    /// Code that was compiled, which an event keeps busy for a fraction of a
    /// millisecond: it is called as the event comes.
    #[default]
    Native,
    /// An interpreter with a script in it. It needs more of everything, and is called
    /// elsewhere: see [`Engine::poll_errand`](crate::Engine::poll_errand).
    Script,
}

impl Class {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Native, Self::Script];

    /// Its name, as configurations have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Script => "script",
        }
    }

    /// What checks get that are given nothing else.
    pub const fn usual(self) -> Limits {
        match self {
            Self::Native => Limits::DEFAULT,
            Self::Script => Limits {
                memory: 64 << 20,
                fuel_per_event: 50_000_000,
                fuel_per_run: 500_000_000,
                ..Limits::DEFAULT
            },
        }
    }

    /// The most that can be given.
    pub const fn most(self) -> Limits {
        match self {
            Self::Native => Limits::MOST,
            Self::Script => Limits {
                memory: 64 << 20,
                fuel_per_event: 1_000_000_000,
                fuel_per_run: 10_000_000_000,
                ..Limits::MOST
            },
        }
    }
}

/// What one run of a check may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: u32,
    /// Fuel for one event. A unit is about an instruction.
    pub fuel_per_event: u64,
    /// Fuel for a whole run.
    pub fuel_per_run: u64,
    /// Bytes to send in a run.
    pub sent: u32,
    /// Bytes of the peer in a run.
    pub received: u32,
}

impl Limits {
    /// What checks get that are given nothing else.
    pub const DEFAULT: Self = Self {
        memory: 2 << 20,
        fuel_per_event: 2_000_000,
        fuel_per_run: 20_000_000,
        sent: 64 << 10,
        received: 1 << 20,
    };

    /// The least of each that makes sense.
    pub const LEAST: Self = Self {
        memory: 64 << 10,
        fuel_per_event: 10_000,
        fuel_per_run: 10_000,
        sent: 0,
        received: 1,
    };

    /// The most that can be given. An event then takes some milliseconds at worst,
    /// for which its worker does nothing else.
    pub const MOST: Self = Self {
        memory: 2 << 20,
        fuel_per_event: 20_000_000,
        fuel_per_run: 1_000_000_000,
        sent: 1 << 20,
        received: 64 << 20,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
