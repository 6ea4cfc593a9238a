//! A client against what servers send, good and bad, in pieces of any size.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use alloc::{format, vec};

use proptest::prelude::*;

use super::frame::{ACK, END_HEADERS, END_STREAM, PADDED, PRIORITY};
use super::*;

/// A frame.
fn frame(kind: Kind, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::write(&mut bytes, kind, flags, stream, payload);
    bytes
}

fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        hpack::encode(name, value.as_bytes(), &mut block);
    }
    block
}

fn settings() -> Vec<u8> {
    frame(Kind::Settings, 0, 0, &[])
}

fn setting(id: u16, value: u32) -> Vec<u8> {
    let payload = [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(Kind::Settings, 0, 0, &payload)
}

fn update(stream: u32, increment: u32) -> Vec<u8> {
    frame(Kind::WindowUpdate, 0, stream, &increment.to_be_bytes())
}

fn head(flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(Kind::Headers, END_HEADERS | flags, STREAM, &block(fields))
}

fn data(flags: u8, content: &[u8]) -> Vec<u8> {
    frame(Kind::Data, flags, STREAM, content)
}

fn away(last: u32, code: u32) -> Vec<u8> {
    let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
    frame(Kind::GoAway, 0, 0, &payload)
}

const OK: &[(&str, &str)] = &[(":status", "200")];

fn get(out: &mut Vec<u8>) -> Client {
    Client::new(&RequestHead(block(&[(":method", "GET")])), &[], out)
}

/// What a client made of its input: a line for each event, the bytes of the
/// body together, and what it sent.
#[derive(Debug, PartialEq)]
struct Seen {
    events: Vec<String>,
    error: Option<Error>,
    sent: Vec<u8>,
}

fn read<B: AsRef<[u8]>>(parts: &[B]) -> Seen {
    let client = get(&mut Vec::new());
    read_with(client, parts)
}

fn read_with<B: AsRef<[u8]>>(mut client: Client, parts: &[B]) -> Seen {
    let (mut events, mut sent) = (Vec::<String>::new(), Vec::new());
    for part in parts {
        let mut data = part.as_ref();
        loop {
            let event = match client.receive(&mut data, &mut sent) {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(error) => {
                    let error = Some(error);
                    return Seen {
                        events,
                        error,
                        sent,
                    };
                }
            };
            let line = match event {
                Event::Data(piece) => {
                    let piece = piece.escape_ascii().to_string();
                    match events.last_mut() {
                        Some(last) if last.starts_with("data ") => {
                            last.push_str(&piece);
                            continue;
                        }
                        _ => format!("data {piece}"),
                    }
                }
                Event::Head {
                    status,
                    fields,
                    end,
                } => format!("{status} {} {end}", shown(fields)),
                Event::Trailers(fields) => format!("trailers {}", shown(fields)),
                Event::End => "end".into(),
                Event::Reset(code) => format!("reset {code}"),
                Event::Refused(code) => format!("refused {code}"),
            };
            events.push(line);
        }
        assert!(data.is_empty());
    }
    Seen {
        events,
        error: None,
        sent,
    }
}

fn shown(fields: &Fields) -> String {
    let shown = |(name, value): (&str, &[u8])| format!("{name}={}", value.escape_ascii());
    fields.iter().map(shown).collect::<Vec<_>>().join(",")
}

/// Frames as a list of what they are, for those that a client sends.
fn kinds(mut bytes: &[u8]) -> Vec<(Kind, u8, u32, usize)> {
    let mut kinds = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk() {
        let header = Header::parse(*header);
        kinds.push((
            header.kind,
            header.flags,
            header.stream,
            header.length as usize,
        ));
        bytes = &rest[header.length as usize..];
    }
    kinds
}

/// What a client takes before it has read anything: no more than a run itself.
#[test]
fn a_client_is_small() {
    assert!(size_of::<Client>() <= 384, "{}", size_of::<Client>());
}

#[test]
fn a_client_begins_with_preface_settings_and_its_request() {
    let mut out = Vec::new();
    get(&mut out);
    let frames = out
        .strip_prefix(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .unwrap();
    let flags = END_STREAM | END_HEADERS;
    assert_eq!(
        kinds(frames),
        [
            (Kind::Settings, 0, 0, 18),
            (Kind::WindowUpdate, 0, 0, 4),
            (Kind::Headers, flags, 1, 1),
        ]
    );
    assert_eq!(frames[9..15], [0, 2, 0, 0, 0, 0], "nothing may be pushed");
}

#[test]
fn a_long_head_is_continued() {
    let mut out = Vec::new();
    let value = "x".repeat(40_000);
    Client::new(&RequestHead(block(&[("a", &value)])), b"body", &mut out);
    let sent = kinds(&out[PREFACE.len()..]);
    let expected = [
        (Kind::Headers, 0, 1, 16_384),
        (Kind::Continuation, 0, 1, 16_384),
        (Kind::Continuation, END_HEADERS, 1, 40_000 + 7 - 2 * 16_384),
        (Kind::Data, END_STREAM, 1, 4),
    ];
    assert_eq!(sent[2..], expected);
}

#[test]
fn a_response_with_everything() {
    let mut padded = vec![3];
    padded.extend(b"lo\0\0\0");
    let mut prioritised = vec![2, 0x80, 0, 0, 3, 255];
    prioritised.extend(block(&[("b", "2")]));
    prioritised.extend([0, 0]);
    let seen = read(&[
        setting(2, 1),
        frame(Kind::Settings, ACK, 0, &[]),
        head(0, &[(":status", "103"), ("link", "x")]),
        frame(Kind::Unknown(0xfe), 0xff, 9, b"whatever"),
        frame(Kind::Priority, 0, 7, &[0; 5]),
        frame(
            Kind::Headers,
            0,
            1,
            &block(&[(":status", "200"), ("a", "1")]),
        ),
        frame(Kind::Continuation, 0, 1, &[]),
        frame(Kind::Continuation, END_HEADERS, 1, &block(&[("c", "3")])),
        data(0, b"hel"),
        frame(Kind::Ping, 0, 0, b"12345678"),
        frame(Kind::Ping, ACK, 0, b"12345678"),
        data(PADDED, &padded),
        data(0, &[]),
        update(0, 1),
        away(u32::MAX, 0),
        frame(
            Kind::Headers,
            PADDED | PRIORITY | END_HEADERS | END_STREAM,
            1,
            &prioritised,
        ),
        data(0, b"what comes after the end is not looked at"),
    ]);
    let events = [
        "103 link=x false",
        "200 a=1,c=3 false",
        "data hello",
        "trailers b=2",
        "end",
    ];
    assert_eq!(seen.events, events);
    assert_eq!(seen.error, None);
    let sent = [(Kind::Settings, ACK, 0, 0), (Kind::Ping, ACK, 0, 8)];
    assert_eq!(kinds(&seen.sent), sent);
    assert!(seen.sent.ends_with(b"12345678"));
}

#[test]
fn the_end_comes_with_the_head_or_with_data() {
    let seen = read(&[settings(), head(END_STREAM, &[(":status", "204")])]);
    assert_eq!(seen.events, ["204  true", "end"]);
    for last in [
        data(END_STREAM, b"x"),
        [data(0, b"x"), data(END_STREAM, b"")].concat(),
    ] {
        let seen = read(&[settings(), head(0, OK), last]);
        assert_eq!(seen.events, ["200  false", "data x", "end"]);
    }
}

#[test]
fn a_peer_may_give_up() {
    let reset = frame(Kind::ResetStream, 0, 1, &[0, 0, 0, 7]);
    assert_eq!(read(&[settings(), reset]).events, ["reset REFUSED_STREAM"]);
    let seen = read(&[settings(), away(0, 0xb)]);
    assert_eq!(seen.events, ["refused ENHANCE_YOUR_CALM"]);
    let mut client = get(&mut Vec::new());
    let input = [settings(), away(1, 0x77)].concat();
    let event = client.receive(&mut &input[..], &mut Vec::new());
    assert_eq!(event, Ok(None), "it may still answer");
    assert_eq!(client.leaving().unwrap().to_string(), "error 0x77");
}

#[test]
fn violations_end_a_connection_with_their_own_words() {
    let reset = |stream| frame(Kind::ResetStream, 0, stream, &[0; 4]);
    let bad = |fields| Error::Head(read_head(fields));
    for (input, error) in [
        (head(0, OK), first(&head(0, OK))),
        (b"HTTP/1.1 400 Bad".to_vec(), Error::NotHttp2(*b"HTTP/1.1 ")),
        (
            frame(Kind::Settings, ACK, 0, &[]),
            first(&frame(Kind::Settings, ACK, 0, &[])),
        ),
        (
            then(frame(Kind::Data, 0, 1, &[0; 16_385])),
            Error::FrameTooLarge(Kind::Data, 16_385),
        ),
        (
            then(frame(Kind::Ping, 0, 0, b"1234567")),
            Error::FrameLength(Kind::Ping, 7),
        ),
        (
            then(frame(Kind::Settings, 0, 0, b"1234567")),
            Error::FrameLength(Kind::Settings, 7),
        ),
        (
            then(frame(Kind::Settings, ACK, 0, &[0; 6])),
            Error::FrameLength(Kind::Settings, 6),
        ),
        (
            then(frame(Kind::GoAway, 0, 0, &[0; 7])),
            Error::FrameLength(Kind::GoAway, 7),
        ),
        (
            then(frame(Kind::ResetStream, 0, 1, &[0; 5])),
            Error::FrameLength(Kind::ResetStream, 5),
        ),
        (
            then(frame(Kind::Priority, 0, 1, &[0; 4])),
            Error::FrameLength(Kind::Priority, 4),
        ),
        (
            then(frame(Kind::WindowUpdate, 0, 1, &[])),
            Error::FrameLength(Kind::WindowUpdate, 0),
        ),
        (
            then(frame(Kind::Headers, PADDED, 1, &[])),
            Error::FrameLength(Kind::Headers, 0),
        ),
        (
            then(frame(Kind::Headers, PRIORITY, 1, &[0; 4])),
            Error::FrameLength(Kind::Headers, 4),
        ),
        (
            then(frame(Kind::Headers, PADDED, 1, &[1])),
            Error::Padding(Kind::Headers),
        ),
        (after(data(PADDED, &[])), Error::FrameLength(Kind::Data, 0)),
        (after(data(PADDED, &[2, 0])), Error::Padding(Kind::Data)),
        (
            then(frame(Kind::Settings, 0, 1, &[])),
            Error::WrongStream(Kind::Settings, 1),
        ),
        (
            then(frame(Kind::Ping, 0, 1, &[0; 8])),
            Error::WrongStream(Kind::Ping, 1),
        ),
        (
            then(frame(Kind::Headers, END_HEADERS, 3, &[])),
            Error::WrongStream(Kind::Headers, 3),
        ),
        (
            then(frame(Kind::Headers, END_HEADERS, 0, &[])),
            Error::WrongStream(Kind::Headers, 0),
        ),
        (
            after(frame(Kind::Data, 0, 2, b"x")),
            Error::WrongStream(Kind::Data, 2),
        ),
        (
            then(frame(Kind::Priority, 0, 0, &[0; 5])),
            Error::WrongStream(Kind::Priority, 0),
        ),
        (then(reset(0)), Error::WrongStream(Kind::ResetStream, 0)),
        (then(reset(5)), Error::WrongStream(Kind::ResetStream, 5)),
        (
            then(update(3, 1)),
            Error::WrongStream(Kind::WindowUpdate, 3),
        ),
        (
            then([frame(Kind::Headers, 0, 1, &[]), settings()].concat()),
            Error::Interrupted(Kind::Settings),
        ),
        (
            then(
                [
                    frame(Kind::Headers, 0, 1, &[]),
                    frame(Kind::Continuation, 0, 3, &[]),
                ]
                .concat(),
            ),
            Error::WrongStream(Kind::Continuation, 3),
        ),
        (
            then(frame(Kind::Continuation, END_HEADERS, 1, &[])),
            Error::LoneContinuation,
        ),
        (
            then(frame(Kind::PushPromise, END_HEADERS, 1, &[0; 4])),
            Error::Pushed,
        ),
        (then(setting(2, 2)), Error::Setting(2, 2)),
        (then(setting(4, 1 << 31)), Error::Setting(4, 1 << 31)),
        (then(setting(5, 16_383)), Error::Setting(5, 16_383)),
        (then(setting(5, 1 << 24)), Error::Setting(5, 1 << 24)),
        (then(update(0, 0)), Error::ZeroIncrement),
        (then(update(1, 1 << 31)), Error::ZeroIncrement),
        (then(update(1, (1 << 31) - 1)), Error::WindowOverflow),
        (
            then([update(1, 1 << 30), setting(4, 1 << 30)].concat()),
            Error::WindowOverflow,
        ),
        (then(data(0, b"x")), Error::DataBeforeHead),
        (
            then(frame(Kind::Headers, END_HEADERS, 1, &[0x80])),
            Error::Compression(hpack::Error::Index(0)),
        ),
        (then(head(0, &[])), bad(&[])),
        (then(head(0, &[("a", "b")])), bad(&[("a", "b")])),
        (
            then(head(END_STREAM, &[(":status", "100")])),
            Error::Head(HeadFault::InterimEnd),
        ),
        (
            after(head(0, &[("a", "b")])),
            Error::Head(HeadFault::OpenTrailers),
        ),
        (after(head(END_STREAM, OK)), Error::Head(HeadFault::Pseudo)),
    ] {
        let seen = read(core::slice::from_ref(&input));
        assert_eq!(seen.error, Some(error), "{input:?}");
        assert!(!error.to_string().is_empty());
        let last = kinds(&seen.sent).pop().unwrap();
        assert_eq!(last, (Kind::GoAway, 0, 0, 8), "the peer is told");
        assert!(seen.sent.ends_with(&error.code().0.to_be_bytes()));
    }
}

fn then(frames: Vec<u8>) -> Vec<u8> {
    [settings(), frames].concat()
}

fn after(frames: Vec<u8>) -> Vec<u8> {
    [settings(), head(0, OK), frames].concat()
}

fn first(bytes: &[u8]) -> Error {
    Error::NotHttp2(*bytes.first_chunk().unwrap())
}

fn read_head(fields: &[(&str, &str)]) -> HeadFault {
    let mut list = Fields::default();
    for (name, value) in fields {
        list.push(name.as_bytes(), value.as_bytes());
    }
    list.head().unwrap_err()
}

#[test]
fn heads_are_checked() {
    use HeadFault::{Name, Pseudo, Status, StatusValue, Value};
    for (fields, fault) in [
        (&[][..], Status),
        (&[(":status", "200"), (":status", "200")], Status),
        (&[("a", "b"), (":status", "200")], Pseudo),
        (&[(":status", "200"), (":path", "/")], Pseudo),
        (&[(":status", "101")], StatusValue),
        (&[(":status", "099")], StatusValue),
        (&[(":status", "20")], StatusValue),
        (&[(":status", "2000")], StatusValue),
        (&[(":status", "+20")], StatusValue),
        (&[(":status", "200"), ("Upper", "x")], Name),
        (&[(":status", "200"), ("", "x")], Name),
        (&[(":status", "200"), ("a b", "x")], Name),
        (&[(":status", "200"), ("a", "x\r\ny: z")], Value),
        (&[(":status", "200"), ("a", "\0")], Value),
    ] {
        assert_eq!(read_head(fields), fault, "{fields:?}");
        assert!(!fault.to_string().is_empty());
    }
    let seen = read(&[
        settings(),
        head(
            0,
            &[(":status", "999"), ("connection", "close"), ("a", "\tx")],
        ),
    ]);
    assert_eq!(seen.events, ["999 connection=close,a=\\tx false"]);
}

#[test]
fn heads_are_bounded_however_they_come() {
    let fragment = vec![0; 16_000];
    let mut input = then(frame(Kind::Headers, 0, 1, &fragment));
    for _ in 0..5 {
        input.extend(frame(Kind::Continuation, 0, 1, &fragment));
    }
    assert_eq!(read(&[input]).error, Some(Error::HeadTooLarge));
    // Each field counts for 32 bytes more than its text.
    let value = "x".repeat(MAX_HEAD_BYTES / 2 - 33);
    let just = [(":status", "200"), ("a", &value[10 + 32..]), ("b", &value)];
    let whole = block(&just);
    let list = |block: &[u8]| {
        let mut fragments = block.chunks(FRAME_BYTES);
        let mut input = then(frame(Kind::Headers, 0, 1, fragments.next().unwrap()));
        for fragment in fragments {
            input.extend(frame(Kind::Continuation, 0, 1, fragment));
        }
        input.extend(frame(Kind::Continuation, END_HEADERS, 1, &[]));
        read(&[input]).error
    };
    assert_eq!(list(&whole), None);
    let one_more = [(":status", "200"), ("ab", &value[10 + 32..]), ("b", &value)];
    assert_eq!(list(&block(&one_more)), Some(Error::HeadTooLarge));
    let many = [block(OK), vec![0x90; 256]].concat();
    assert_eq!(list(&many), Some(Error::TooManyFields));
}

#[test]
fn frames_that_carry_nothing_end_some_day() {
    let interim = head(0, &[(":status", "100")]);
    for (begin, frame) in [
        (settings(), settings()),
        (settings(), frame(Kind::Ping, 0, 0, &[0; 8])),
        (settings(), frame(Kind::Unknown(0xab), 0, 0, &[])),
        (settings(), update(1, 1)),
        (settings(), interim),
        (after(Vec::new()), data(0, &[])),
        (
            then(frame(Kind::Headers, 0, 1, &[])),
            frame(Kind::Continuation, 0, 1, &[]),
        ),
    ] {
        let flood = frame.repeat(MAX_H2_CONTROL_FRAMES as usize + 1);
        let seen = read(&[begin, flood]);
        assert_eq!(seen.error, Some(Error::Flood));
        let answers = MAX_H2_CONTROL_FRAMES as usize * 17;
        assert!(seen.sent.len() <= answers + 64, "{}", seen.sent.len());
    }
}

#[test]
fn a_body_is_sent_as_the_windows_allow() {
    let mut out = Vec::new();
    let body = vec![b'x'; 100_000];
    let head = RequestHead(block(&[(":method", "POST")]));
    let mut client = Client::new(&head, &body, &mut out);
    assert_eq!(client.let_out(), Some(0..65_535));
    assert_eq!(client.let_out(), None, "it is told once");
    assert!(out.len() < 200, "and not copied");
    let mut tell = |frames: Vec<u8>| {
        let told = client.receive(&mut &frames[..], &mut Vec::new());
        assert_eq!(told, Ok(None));
        client.let_out()
    };
    // Only one of the windows.
    assert_eq!(tell(then(update(0, 50_000))), None);
    assert_eq!(tell(update(1, 1_000)), Some(65_535..66_535));
    // The peer takes back more than is left.
    assert_eq!(tell(setting(4, 35_535)), None);
    assert_eq!(tell(update(1, 30_000)), None);
    assert_eq!(tell(setting(4, 1_000_000)), Some(66_535..100_000));
}

#[test]
fn windows_that_open_byte_by_byte_end_some_day() {
    let body = vec![b'x'; 1 << 20];
    let head = RequestHead(block(&[(":method", "POST")]));
    let mut client = Client::new(&head, &body, &mut Vec::new());
    let mut tell = |frame: Vec<u8>| client.receive(&mut &frame[..], &mut Vec::new()).map(drop);
    assert_eq!(tell(then(update(0, 1 << 20))), Ok(()));
    for _ in 0..2 * MAX_H2_CONTROL_FRAMES {
        if let Err(error) = tell(update(1, 1)) {
            return assert_eq!(error, Error::Flood);
        }
    }
    panic!("each of these frames costs us more than its peer");
}

#[test]
fn a_part_of_a_body_is_framed_bit_by_bit() {
    let mut part = 66_535..100_000;
    for (flags, length) in [(0, 16_384), (0, 16_384), (END_STREAM, 697)] {
        let frame = DataFrame::first_of(&part, 100_000);
        assert_eq!(frame.length, length);
        let expected = data(flags, &vec![0; length]);
        assert_eq!(frame.header, expected[..9]);
        part.start += length;
    }
    assert!(part.is_empty());
    let most = DataFrame::first_of(&(0..65_535), 65_536);
    assert_eq!(most.header, data(0, &[0; FRAME_BYTES])[..9]);
}

#[test]
fn what_was_received_is_allowed_again() {
    let mut client = get(&mut Vec::new());
    let mut out = Vec::new();
    let mut input = after(Vec::new());
    let content = [b'x'; FRAME_BYTES];
    let frames = RECEIVE_WINDOW as usize / 2 / FRAME_BYTES + 1;
    input.extend(data(0, &content).repeat(frames));
    let mut data = &input[..];
    while client.receive(&mut data, &mut out).unwrap().is_some() {}
    let updates = &kinds(&out)[1..];
    let expected = [(Kind::WindowUpdate, 0, 0, 4), (Kind::WindowUpdate, 0, 1, 4)];
    assert_eq!(updates, expected);
    assert!(out.ends_with(&(RECEIVE_WINDOW / 2 + FRAME_BYTES as u32).to_be_bytes()));
}

#[test]
fn a_window_can_be_exceeded() {
    let mut window = ReceiveWindow::new();
    let taken = window.take(RECEIVE_WINDOW + 1, 0, &mut Vec::new());
    assert_eq!(taken, Err(Error::WindowExceeded));
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let heads = prop_oneof![
        Just(head(0, OK)),
        Just(head(END_STREAM, OK)),
        Just(head(0, &[(":status", "103"), ("a", "b")])),
        Just(head(END_STREAM, &[("t", "1")])),
        Just(frame(Kind::Headers, 0, 1, &block(OK))),
        Just(frame(
            Kind::Continuation,
            END_HEADERS,
            1,
            &block(&[("c", "d")])
        )),
    ];
    let good = prop_oneof![
        Just(settings()),
        Just(frame(Kind::Ping, 0, 0, b"12345678")),
        Just(update(1, 7)),
        Just(away(1, 0)),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(|content| data(0, &content)),
        Just(data(PADDED, b"\x02hello\0\0")),
        Just(frame(Kind::Unknown(0x20), 3, 5, b"ignored")),
    ];
    let wild = (
        0..11_u8,
        any::<u8>(),
        0..3_u32,
        proptest::collection::vec(any::<u8>(), 0..20),
    )
        .prop_map(|(kind, flags, stream, payload)| {
            let mut bytes = frame(Kind::Data, flags, stream, &payload);
            bytes[3] = kind;
            bytes
        });
    prop_oneof![3 => heads, 6 => good, 1 => wild]
}

proptest! {
    #[test]
    fn splitting_the_input_changes_nothing(
        frames in proptest::collection::vec(any_frame(), 0..12),
        cuts in proptest::collection::vec(0..400_usize, 0..20),
    ) {
        let bytes = [settings(), frames.concat()].concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(bytes.len());
        let mut from = 0;
        let mut parts = Vec::new();
        for cut in cuts {
            parts.push(&bytes[from..cut]);
            from = cut;
        }
        let whole = read(&[&bytes]);
        prop_assert_eq!(read(&parts), whole);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(read(&single), read(&[&bytes]));
    }

    #[test]
    fn no_bytes_make_it_panic(tail: Vec<u8>, frames in proptest::collection::vec(any_frame(), 0..4)) {
        read(&[&tail]);
        read(&[settings(), frames.concat(), tail]);
    }
}
