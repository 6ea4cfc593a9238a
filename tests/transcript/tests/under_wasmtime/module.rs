//! Memory and functions of `probity.wasm`. A struct is read and written field by
//! field in the order of `include/probity.h`, each aligned as C aligns it; pointers
//! and `size_t` have 32 bits.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use wasmtime::{Engine, Instance, Memory, Module, Store, WasmParams, WasmResults};

/// Bytes of the place for what a call fills in: no struct is longer.
const ROOM: u32 = 512;

/// The module, in an instance without imports.
pub(crate) struct Probity {
    store: Store<()>,
    instance: Instance,
    memory: Memory,
    /// The place for what a call fills in.
    pub(crate) place: u32,
    /// What calls were given, with its size.
    given: Vec<(u32, u32)>,
}

impl Probity {
    pub(crate) fn load(path: &Path) -> Self {
        let engine = Engine::default();
        let module = Module::from_file(&engine, path).expect("a module");
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).expect("it imports nothing");
        let memory = instance.get_memory(&mut store, "memory");
        let mut probity = Self {
            memory: memory.expect("it exports its memory"),
            store,
            instance,
            place: 0,
            given: Vec::new(),
        };
        probity.place = probity.allocate(ROOM);
        probity
    }

    /// Calls an exported function.
    pub(crate) fn call<P: WasmParams, R: WasmResults>(&mut self, name: &str, params: P) -> R {
        let function = self.instance.get_typed_func::<P, R>(&mut self.store, name);
        let function = function.unwrap_or_else(|error| panic!("{name}: {error}"));
        let result = function.call(&mut self.store, params);
        result.unwrap_or_else(|error| panic!("{name}: {error:?}"))
    }

    fn allocate(&mut self, size: u32) -> u32 {
        let at = self.call("probity_allocate", size);
        assert_ne!(at, 0, "no room for {size} bytes in the module");
        at
    }

    /// Room in the module until [`Self::take_back`].
    pub(crate) fn reserve(&mut self, size: u32) -> u32 {
        let at = self.allocate(size);
        self.given.push((at, size));
        at
    }

    /// Copies bytes into the module until [`Self::take_back`]; NULL for none.
    pub(crate) fn give(&mut self, bytes: &[u8]) -> u32 {
        if bytes.is_empty() {
            return 0;
        }
        let at = self.reserve(length(bytes));
        self.write(at, bytes);
        at
    }

    /// The same for a function that takes `probity_text` or `probity_bytes`: a
    /// pointer to it.
    pub(crate) fn lend(&mut self, bytes: &[u8]) -> u32 {
        let data = self.give(bytes);
        let lent = [data, length(bytes)].map(u32::to_le_bytes);
        self.give(lent.as_flattened())
    }

    /// Frees what calls were given.
    pub(crate) fn take_back(&mut self) {
        for (at, size) in std::mem::take(&mut self.given) {
            self.call::<_, ()>("probity_deallocate", (at, size));
        }
    }

    fn write(&mut self, at: u32, bytes: &[u8]) {
        let written = self.memory.write(&mut self.store, at as usize, bytes);
        written.expect("the module has given this place");
    }

    /// Says how large the struct is that a call is to fill in.
    pub(crate) fn expect(&mut self, size: u32) {
        self.write(self.place, &size.to_le_bytes());
    }

    /// What is at a place.
    pub(crate) fn read(&self, at: u32) -> Reader<'_> {
        let memory = self.memory.data(&self.store);
        let at = at as usize;
        Reader { memory, at }
    }

    /// The text that a function returns.
    pub(crate) fn text_of(&mut self, name: &str, number: u32) -> String {
        self.call::<_, ()>(name, (self.place, number));
        self.read(self.place).text()
    }
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("less than a module's memory")
}

/// Reads the fields of a struct, one after the other.
pub(crate) struct Reader<'a> {
    memory: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// The next field, of `N` bytes.
    fn field<const N: usize>(&mut self, align: usize) -> [u8; N] {
        let at = self.at.next_multiple_of(align);
        self.at = at + N;
        let field = self.memory.get(at..self.at);
        field.and_then(|it| it.try_into().ok()).expect("in memory")
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.field(4))
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.field(8))
    }

    pub(crate) fn i64(&mut self) -> i64 {
        i64::from_le_bytes(self.field(8))
    }

    pub(crate) fn f64(&mut self) -> f64 {
        f64::from_le_bytes(self.field(8))
    }

    pub(crate) fn numbers<const N: usize>(&mut self) -> [u64; N] {
        std::array::from_fn(|_| self.u64())
    }

    /// So many bytes.
    pub(crate) fn take(&mut self, length: u32) -> &'a [u8] {
        let taken = self.memory[self.at..].get(..length as usize);
        let taken = taken.expect("in memory");
        self.at += taken.len();
        taken
    }

    pub(crate) fn bytes(&mut self) -> &'a [u8] {
        let (data, length) = (self.pointer(), self.u32());
        data.map_or(&[], |mut data| data.take(length))
    }

    pub(crate) fn text(&mut self) -> String {
        let text = str::from_utf8(self.bytes());
        text.expect("texts are UTF-8").to_owned()
    }

    /// Where a pointer points to, unless that is NULL.
    pub(crate) fn pointer(&mut self) -> Option<Self> {
        let at = self.u32() as usize;
        let memory = self.memory;
        (at != 0).then_some(Self { memory, at })
    }

    /// A pointer to a list with its length.
    pub(crate) fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let (items, length) = (self.pointer(), self.u32());
        let Some(mut items) = items else {
            assert_eq!(length, 0, "a list without a place");
            return Vec::new();
        };
        (0..length).map(|_| read(&mut items)).collect()
    }

    pub(crate) fn address(&mut self) -> Option<SocketAddr> {
        let [family, _] = self.field(2);
        let port = u16::from_le_bytes(self.field(2));
        let ip: [u8; 16] = self.field(1);
        let [a, b, c, d, ..] = ip;
        let ip = match family {
            0 => return None,
            4 => IpAddr::from(Ipv4Addr::new(a, b, c, d)),
            6 => IpAddr::from(Ipv6Addr::from(ip)),
            other => panic!("an address of family {other}"),
        };
        Some(SocketAddr::new(ip, port))
    }
}

/// A struct that is being written: it begins with its size.
pub(crate) struct Struct {
    bytes: Vec<u8>,
    align: usize,
}

impl Struct {
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0; 4],
            align: 4,
        }
    }

    fn field<const N: usize>(mut self, value: [u8; N]) -> Self {
        self.align = self.align.max(N);
        self.bytes.resize(self.bytes.len().next_multiple_of(N), 0);
        self.bytes.extend(value);
        self
    }

    pub(crate) fn u32(self, value: u32) -> Self {
        self.field(value.to_le_bytes())
    }

    pub(crate) fn u64(self, value: u64) -> Self {
        self.field(value.to_le_bytes())
    }

    pub(crate) fn i64(self, value: i64) -> Self {
        self.field(value.to_le_bytes())
    }

    pub(crate) fn bytes(self, probity: &mut Probity, bytes: &[u8]) -> Self {
        self.u32(probity.give(bytes)).u32(length(bytes))
    }

    pub(crate) fn text(self, probity: &mut Probity, text: &str) -> Self {
        self.bytes(probity, text.as_bytes())
    }

    /// Copies it into the module, until [`Probity::take_back`].
    pub(crate) fn give(mut self, probity: &mut Probity) -> u32 {
        let whole = self.bytes.len().next_multiple_of(self.align);
        self.bytes.resize(whole, 0);
        let size = length(&self.bytes).to_le_bytes();
        self.bytes[..size.len()].copy_from_slice(&size);
        probity.give(&self.bytes)
    }
}

/// `sizeof(probity_address)`.
const ADDRESS: usize = 20;

/// Addresses as a list.
pub(crate) fn addresses(found: &[IpAddr]) -> Vec<u8> {
    let mut list = Vec::new();
    for address in found {
        let (family, ip) = match address {
            IpAddr::V4(v4) => (4, &v4.octets()[..]),
            IpAddr::V6(v6) => (6, &v6.octets()[..]),
        };
        list.extend([family, 0, 0, 0]);
        list.extend(ip);
        list.resize(list.len().next_multiple_of(ADDRESS), 0);
    }
    list
}
