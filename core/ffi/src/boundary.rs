//! Every pointer that comes in or goes out, and the end of every panic.

use std::ffi::c_char;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use crate::result::{Result, probity_result};
use crate::types::{probity_buffer, probity_bytes, probity_text};

/// Runs the body of an exported function. No panic gets past it.
#[inline]
pub(crate) fn guard(body: impl FnOnce() -> Result<()>) -> probity_result {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => probity_result::Ok,
        Ok(Err(result)) => result,
        Err(_) => probity_result::Panicked,
    }
}

/// The same for functions that can say in `error` what is wrong.
///
/// # Safety
/// See [`Place`].
pub(crate) unsafe fn guard_saying(
    error: *mut probity_buffer,
    body: impl FnOnce() -> std::result::Result<(), Said>,
) -> probity_result {
    guard(|| {
        // SAFETY: the caller's promise.
        let place = unsafe { Place::new(error) };
        match body() {
            Ok(()) => Ok(()),
            Err(Said(result, text)) => {
                // An error without a place to say it in is still an error.
                if let Ok(place) = place {
                    place.write(text.as_bytes());
                }
                Err(result)
            }
        }
    })
}

/// A result with its sentence.
pub(crate) struct Said(pub(crate) probity_result, pub(crate) String);

impl From<probity_result> for Said {
    fn from(result: probity_result) -> Self {
        Self(result, String::new())
    }
}

/// A text that is lent to the caller.
pub(crate) const fn lend_text(text: &str) -> probity_text {
    probity_text {
        data: text.as_ptr().cast(),
        length: text.len(),
    }
}

/// Bytes that are lent to the caller.
pub(crate) const fn lend_bytes(bytes: &[u8]) -> probity_bytes {
    probity_bytes {
        data: bytes.as_ptr(),
        length: bytes.len(),
    }
}

/// A text of the caller. NULL with length 0 is the empty text.
///
/// # Safety
/// It must point to as many bytes as it says, which nobody changes meanwhile.
pub(crate) unsafe fn text<'a>(text: probity_text) -> Result<&'a str> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { slice(text.data.cast::<u8>(), text.length) }?;
    str::from_utf8(bytes).map_err(|_| probity_result::BadArgument)
}

/// No text or row of bytes is longer: one that is said to be is garbage, and is not looked at.
const MOST_BYTES: usize = 1 << 30;

/// A list of the caller. NULL with length 0 is the empty list.
///
/// # Safety
/// `data` must point to `length` values, which nobody changes meanwhile.
pub(crate) unsafe fn slice<'a, T>(data: *const T, length: usize) -> Result<&'a [T]> {
    if length == 0 {
        return Ok(&[]);
    }
    let largest = MOST_BYTES / size_of::<T>().max(1);
    if data.is_null() || !data.is_aligned() || length > largest {
        return Err(probity_result::BadPointer);
    }
    // SAFETY: not NULL, aligned, much shorter than an object can be; the rest is
    // the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(data, length) })
}

/// A place for one result of a type without a size of its own.
///
/// # Safety
/// `place` must be NULL or point to a `T` that may be written.
pub(crate) unsafe fn put<T>(place: *mut T, value: T) -> Result<()> {
    can_put(place)?;
    // SAFETY: not NULL, aligned; the rest is the caller's promise.
    unsafe { place.write(value) };
    Ok(())
}

/// Whether [`put`] would work, for functions that do something before they put.
#[inline]
pub(crate) fn can_put<T>(place: *mut T) -> Result<()> {
    match place.is_null() || !place.is_aligned() {
        true => Err(probity_result::BadPointer),
        false => Ok(()),
    }
}

/// The same for a place that may be NULL, of what nobody wants to know.
pub(crate) fn can_put_if_wanted<T>(place: *mut T) -> Result<()> {
    match place.is_null() {
        true => Ok(()),
        false => can_put(place),
    }
}

/// A struct that begins with its size in bytes, of which every combination of
/// bits is a value, zeros mean "as usual", and later versions are longer.
///
/// # Safety
/// `repr(C)`, first field `usize`, no padding that matters, every bit pattern
/// valid.
pub(crate) unsafe trait Sized_: Copy {
    /// Bytes of the first version.
    const FIRST: usize;
}

/// Reads a struct that may be of an older version (its end is then zeros) or of
/// a newer one (if what we do not know is zeros).
///
/// # Safety
/// `place` must be NULL or point to as many bytes as its first field says.
pub(crate) unsafe fn read_sized<T: Sized_>(place: *const T) -> Result<T> {
    if place.is_null() || !place.is_aligned() {
        return Err(probity_result::BadPointer);
    }
    // SAFETY: it points to a size at least.
    let size = unsafe { place.cast::<usize>().read() };
    let known = size_of::<T>();
    if !is_size_of::<T>(size) {
        return Err(probity_result::BadSize);
    }
    if size > known {
        // SAFETY: as many bytes as the size says, the caller's promise.
        let beyond = unsafe { slice(place.cast::<u8>().add(known), size - known) }?;
        if beyond.iter().any(|byte| *byte != 0) {
            return Err(probity_result::BadSize);
        }
    }
    let mut value = mem::MaybeUninit::<T>::zeroed();
    // SAFETY: both have that many bytes, and every pattern of bits is a `T`.
    unsafe {
        ptr::copy_nonoverlapping(
            place.cast::<u8>(),
            value.as_mut_ptr().cast::<u8>(),
            size.min(known),
        );
        Ok(value.assume_init())
    }
}

/// Writes a struct to a caller whose version of it may be shorter or longer: as
/// much as it has room for. Its size stays what the caller has set.
///
/// # Safety
/// `place` must be NULL or point to as many bytes as its first field says.
pub(crate) unsafe fn write_sized<T: Sized_>(place: *mut T, value: &T) -> Result<()> {
    can_write_sized(place)?;
    // SAFETY: `can_write_sized` has read the size; there are as many bytes, the caller's
    // promise.
    unsafe { write_bytes(place, value, place.cast::<usize>().read()) }
    Ok(())
}

/// Writes a struct that has `size` bytes for the caller, [`Sized_::FIRST`] at least, and
/// says so in its first field. What we do not know of it is zeros.
///
/// # Safety
/// `place` must be as large, and aligned; `value` must be there as a whole.
unsafe fn write_bytes<T: Sized_>(place: *mut T, value: *const T, size: usize) {
    let known = size.min(size_of::<T>());
    let bytes = place.cast::<u8>();
    // SAFETY: both have so many bytes, and what is left of `place` has the others.
    unsafe {
        ptr::copy_nonoverlapping(value.cast::<u8>(), bytes, known);
        ptr::write_bytes(bytes.add(known), 0, size - known);
        place.cast::<usize>().write(size);
    }
}

/// Looks at structs of the caller in a row, which are all of the size that the first one
/// says: tells that size.
///
/// # Safety
/// `first` must be NULL or point to a struct that begins with its size.
#[inline]
pub(crate) unsafe fn size_of_each<T: Sized_>(first: *mut T, length: usize) -> Result<usize> {
    can_put(first)?;
    // One comparison for both: 0 is beyond the most, too.
    if length.wrapping_sub(1) >= MOST_BYTES / size_of::<T>() {
        return Err(match length {
            0 => probity_result::BadArgument,
            _ => probity_result::BadPointer,
        });
    }
    // SAFETY: not NULL and aligned; every struct begins with its size.
    let size = unsafe { first.cast::<usize>().read() };
    match size == size_of::<T>() || is_size_of::<T>(size) {
        true => Ok(size),
        false => Err(probity_result::BadSize),
    }
}

/// Structs in a row that are a `T` to the caller, too, to be filled in where they are.
///
/// # Safety
/// `first` must point to as many structs that may be written, which [`size_of_each`] has
/// told to be of the size of a `T`; nobody else uses them as long as these are used.
#[inline]
pub(crate) unsafe fn room<'a, T: Sized_>(
    first: *mut T,
    length: usize,
) -> &'a mut [mem::MaybeUninit<T>] {
    // SAFETY: not NULL, aligned, and no more than an object may have; the rest is the
    // caller's promise.
    unsafe { std::slice::from_raw_parts_mut(first.cast(), length) }
}

/// Writes structs in a row to a caller whose version of them may be shorter or longer.
///
/// # Safety
/// `first` must point to as many structs that may be written, each of `size` bytes, which
/// [`size_of_each`] has told; `values` must be there as a whole.
pub(crate) unsafe fn write_each<T: Sized_>(
    first: *mut T,
    size: usize,
    values: &[mem::MaybeUninit<T>],
) {
    for (number, value) in values.iter().enumerate() {
        // SAFETY: within the row, and aligned as all sizes are; the rest is the caller's
        // promise.
        unsafe { write_bytes(first.byte_add(number * size), value.as_ptr(), size) };
    }
}

/// Whether [`write_sized`] would work.
pub(crate) fn can_write_sized<T: Sized_>(place: *mut T) -> Result<()> {
    can_put(place)?;
    // SAFETY: not NULL and aligned; every struct begins with its size.
    let size = unsafe { place.cast::<usize>().read() };
    match is_size_of::<T>(size) {
        true => Ok(()),
        false => Err(probity_result::BadSize),
    }
}

/// Whether a version of `T` may have that size. Every version ends where its alignment
/// does: no other size cuts a pointer in two.
const fn is_size_of<T: Sized_>(size: usize) -> bool {
    size >= T::FIRST && size <= MAX_STRUCT && size.is_multiple_of(align_of::<T>())
}

/// No struct will ever be larger: a size beyond it is garbage.
const MAX_STRUCT: usize = 4096;

/// Room of the caller for bytes of any length.
pub(crate) struct Place {
    /// `None`: the caller does not want to know.
    buffer: Option<ptr::NonNull<probity_buffer>>,
}

impl Place {
    /// # Safety
    /// `buffer` must be NULL or point to a buffer whose data has its capacity,
    /// and which nobody else uses until this value is gone.
    pub(crate) unsafe fn new(buffer: *mut probity_buffer) -> Result<Self> {
        let Some(found) = ptr::NonNull::new(buffer) else {
            return Ok(Self { buffer: None });
        };
        if !buffer.is_aligned() {
            return Err(probity_result::BadPointer);
        }
        // SAFETY: not NULL, aligned, the caller's promise.
        let buffer = unsafe { found.as_ref() };
        if buffer.capacity > isize::MAX as usize || buffer.data.is_null() && buffer.capacity > 0 {
            return Err(probity_result::BadPointer);
        }
        Ok(Self {
            buffer: Some(found),
        })
    }

    /// Writes as much as there is room for, ended by a zero byte that does not
    /// count, and how long it is in whole. Text is cut between characters.
    pub(crate) fn write(self, bytes: &[u8]) {
        let Some(mut buffer) = self.buffer else {
            return;
        };
        // SAFETY: checked when this was made.
        let buffer = unsafe { buffer.as_mut() };
        buffer.length = bytes.len();
        let Some(room) = buffer.capacity.checked_sub(1) else {
            return;
        };
        let mut cut = room.min(bytes.len());
        while cut > 0 && cut < bytes.len() && bytes[cut] & 0xc0 == 0x80 {
            cut -= 1;
        }
        // SAFETY: the data has `capacity` bytes, and `cut` is below that.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.data.cast::<u8>(), cut);
            buffer.data.add(cut).write(0 as c_char);
        }
    }
}
