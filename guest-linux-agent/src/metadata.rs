//! A TinyContainer's metadata, read into what a node needs of it.
//!
//! The format is that project's (TinyPART/RIOT, `sys/tinycontainer/metadata/doc/tinycontainer_metadata.cddl`): a tagged map of CBOR in
//! byte strings, of which the container's kind and its endpoints are taken over. An endpoint at a local GPIO port becomes the right
//! to that line and what its number stands for. Whatever the node does not have (SPI, I2C, remote peers, other containers) is refused
//! by name rather than left out: the container would only fail at it later. Its tokens are not looked at: nodes have none of
//! that kind. The file is a stranger's: nothing here recurses, and everything is bounded by it.

use minicbor::{Decoder, data::Tag, decode};
use runner_container::Endpoint;
use shared_ring_messages::LineReport;

use crate::{
    exit::Failure,
    session::{Error, Result},
};

/// `tinyPART` as a number: the tag of metadata.
const TAG: Tag = Tag::new(6_082_514_239_057_121_876);

/// Kinds of containers that are WebAssembly, or say nothing of it.
const WASM: u64 = 4;
const UNDEFINED: u64 = 0;

/// Which way an endpoint goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    In,
    Out,
    Both,
}

/// An endpoint at a GPIO port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Port {
    endpoint: u32,
    port: u64,
    way: Way,
}

/// What metadata says, as far as it is taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Metadata {
    ports: Vec<Port>,
}

impl Metadata {
    /// Reads a file's bytes.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        let (container, endpoints) = outer(bytes).map_err(|error| not_metadata(&error))?;
        let kind = kind_of(container).map_err(|error| not_metadata(&error))?;
        if kind != WASM && kind != UNDEFINED {
            return Err(refused(format!(
                "the metadata is of a container of kind {kind}; only kind {WASM}, WebAssembly, can be run"
            )));
        }
        let ports = endpoints.map_or(Ok(Vec::new()), endpoints_of)?;
        Ok(Self { ports })
    }

    /// The rights, as a person types them, and the endpoints that it comes to on a board with these lines.
    pub(crate) fn on_board(&self, lines: &[LineReport]) -> Result<(Vec<String>, Vec<Endpoint>)> {
        let (mut grants, mut endpoints) = (Vec::new(), Vec::new());
        for Port { endpoint, port, way } in &self.ports {
            let Some(line) = lines.iter().find(|line| u64::from(line.line) == *port) else {
                let known: Vec<String> = lines.iter().map(|line| format!("{} ({})", line.line, line.label)).collect();
                let detail = format!("endpoint {endpoint} is GPIO port {port}; the board has {}", known.join(", "));
                return Err(refused(detail));
            };
            if *way != Way::In {
                grants.push(format!("gpio:{}:out", line.label));
            }
            if *way != Way::Out {
                grants.push(format!("gpio:{}:in", line.label));
            }
            endpoints.push(Endpoint { number: (*endpoint).into(), line: line.label.clone() });
        }
        endpoints.sort_by_key(|endpoint| endpoint.number);
        if !endpoints.is_sorted_by(|one, other| one.number < other.number) {
            return Err(refused("two endpoints of the metadata have the same number".into()));
        }
        Ok((grants, endpoints))
    }
}

fn not_metadata(error: &decode::Error) -> Error {
    let hint = "it is TinyContainer's CBOR, made by that project's tools";
    Error { hint, ..Error::new(Failure::File, format!("the metadata cannot be read: {error}")) }
}

fn refused(message: String) -> Error {
    Error::new(Failure::ContainerRefused, message)
}

type Read<T> = std::result::Result<T, decode::Error>;

/// The container's and the endpoints' parts.
fn outer(bytes: &[u8]) -> Read<(&[u8], Option<&[u8]>)> {
    let mut decoder = Decoder::new(bytes);
    if decoder.tag()? != TAG {
        return Err(decode::Error::message("it does not begin with the tag of TinyContainer's metadata"));
    }
    let (mut container, mut endpoints) = (None, None);
    map(&mut decoder, |decoder, key| {
        match key {
            1 => container = Some(decoder.bytes()?),
            2 => endpoints = Some(decoder.bytes()?),
            // Tokens and a lifetime whose unit is not said.
            _ => decoder.skip()?,
        }
        Ok(())
    })?;
    if decoder.position() != bytes.len() {
        return Err(decode::Error::message("bytes follow its end"));
    }
    Ok((container.ok_or(decode::Error::message("it says nothing of the container"))?, endpoints))
}

/// The container's kind. Its identity is of no use here: a node knows containers by name and hash.
fn kind_of(bytes: &[u8]) -> Read<u64> {
    let mut kind = UNDEFINED;
    map(&mut Decoder::new(bytes), |decoder, key| {
        match key {
            2 => kind = decoder.u64()?,
            _ => decoder.skip()?,
        }
        Ok(())
    })?;
    Ok(kind)
}

fn endpoints_of(bytes: &[u8]) -> Result<Vec<Port>> {
    let mut ports = Vec::new();
    let mut decoder = Decoder::new(bytes);
    let count = decoder.array().map_err(|error| not_metadata(&error))?;
    let count = count.ok_or_else(|| not_metadata(&decode::Error::message("a list of open length")))?;
    for _ in 0..count {
        let (endpoint, peer) = endpoint_of(&mut decoder).map_err(|error| not_metadata(&error))?;
        let peer = Peer::read(peer).map_err(|error| not_metadata(&error))?;
        ports.push(peer.port(endpoint)?);
    }
    Ok(ports)
}

fn endpoint_of<'b>(decoder: &mut Decoder<'b>) -> Read<(u32, &'b [u8])> {
    let (mut id, mut peer) = (None, None);
    map(decoder, |decoder, key| {
        match key {
            1 => id = Some(decoder.u32()?),
            2 => peer = Some(decoder.bytes()?),
            _ => decoder.skip()?,
        }
        Ok(())
    })?;
    let missing = || decode::Error::message("an endpoint without a number or a peer");
    Ok((id.ok_or_else(missing)?, peer.ok_or_else(missing)?))
}

/// Who is at the other end, by the numbers of the format.
#[derive(Default)]
struct Peer {
    kind: Option<u64>,
    local: Option<u64>,
    port: Option<u64>,
    direction: Option<u64>,
}

impl Peer {
    fn read(bytes: &[u8]) -> Read<Self> {
        let mut peer = Self::default();
        map(&mut Decoder::new(bytes), |decoder, key| {
            let place = match key {
                1 => &mut peer.kind,
                6 => &mut peer.local,
                8 => &mut peer.direction,
                10 => &mut peer.port,
                _ => return decoder.skip(),
            };
            *place = Some(decoder.u64()?);
            Ok(())
        })?;
        Ok(peer)
    }

    fn port(&self, endpoint: u32) -> Result<Port> {
        let what = match (self.kind, self.local) {
            (Some(1), Some(2)) => {
                let way = match self.direction {
                    Some(0) => Way::In,
                    Some(1) => Way::Out,
                    Some(2) => Way::Both,
                    _ => return Err(refused(format!("endpoint {endpoint} has no direction"))),
                };
                let port = self.port.ok_or_else(|| refused(format!("endpoint {endpoint} has no port")))?;
                return Ok(Port { endpoint, port, way });
            }
            (Some(1), Some(0)) => "an SPI bus",
            (Some(1), Some(1)) => "an I2C device",
            (Some(0), _) => "another container",
            (Some(2), _) => "a remote peer",
            _ => "of a kind that the format does not have",
        };
        Err(refused(format!("endpoint {endpoint} is {what}; a TinyContainer has GPIO lines here and nothing else")))
    }
}

/// The entries of a map with numbers for keys.
fn map<'b>(decoder: &mut Decoder<'b>, mut entry: impl FnMut(&mut Decoder<'b>, u64) -> Read<()>) -> Read<()> {
    let count = decoder.map()?.ok_or(decode::Error::message("a map of open length"))?;
    for _ in 0..count {
        let key = decoder.u64()?;
        entry(decoder, key)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use minicbor::Encoder;

    use super::*;

    /// Metadata of kind `kind` with endpoints (number, pairs of the peer).
    fn metadata(kind: u64, endpoints: &[(u32, &[(u64, u64)])]) -> Vec<u8> {
        let mut container = Encoder::new(Vec::new());
        container.map(2).unwrap().u8(1).unwrap().bytes(&[0xab, 1]).unwrap().u8(2).unwrap().u64(kind).unwrap();
        let mut list = Encoder::new(Vec::new());
        list.array(endpoints.len() as u64).unwrap();
        for (number, peer) in endpoints {
            let mut inner = Encoder::new(Vec::new());
            inner.map(peer.len() as u64).unwrap();
            for (key, value) in *peer {
                inner.u64(*key).unwrap().u64(*value).unwrap();
            }
            list.map(2).unwrap().u8(1).unwrap().u32(*number).unwrap().u8(2).unwrap();
            list.bytes(&inner.into_writer()).unwrap();
        }
        let mut outer = Encoder::new(Vec::new());
        outer.tag(TAG).unwrap().map(3).unwrap();
        outer.u8(1).unwrap().bytes(&container.into_writer()).unwrap();
        outer.u8(2).unwrap().bytes(&list.into_writer()).unwrap();
        outer.u8(3).unwrap().bytes(b"tokens").unwrap();
        outer.into_writer()
    }

    const fn gpio(port: u64, direction: u64) -> [(u64, u64); 4] {
        [(1, 1), (6, 2), (10, port), (8, direction)]
    }

    fn board() -> Vec<LineReport> {
        let line = |label: &str, line| LineReport { label: label.into(), line, ..LineReport::default() };
        vec![line("LED", 0), line("BUTTON", 3)]
    }

    #[test]
    fn gpio_endpoints_become_rights_and_lines() {
        let bytes = metadata(WASM, &[(7, &gpio(3, 0)), (5, &gpio(0, 1)), (6, &gpio(0, 2))]);
        let metadata = Metadata::read(&bytes).expect("valid");
        let (grants, endpoints) = metadata.on_board(&board()).expect("the board has them");
        assert_eq!(grants, ["gpio:BUTTON:in", "gpio:LED:out", "gpio:LED:out", "gpio:LED:in"]);
        let told: Vec<_> = endpoints.iter().map(|endpoint| (endpoint.number, endpoint.line.as_str())).collect();
        assert_eq!(told, [(5, "LED"), (6, "LED"), (7, "BUTTON")]);
    }

    #[test]
    fn what_no_node_has_is_refused_by_name() {
        for (bytes, words) in [
            (metadata(1, &[]), "container of kind 1"),
            (metadata(WASM, &[(4, &[(1, 1), (6, 0), (10, 1), (8, 0)])]), "endpoint 4 is an SPI bus"),
            (metadata(WASM, &[(4, &[(1, 1), (6, 1), (10, 1), (8, 0)])]), "an I2C device"),
            (metadata(WASM, &[(4, &[(1, 0), (5, 1)])]), "another container"),
            (metadata(WASM, &[(4, &[(1, 2), (7, 1)])]), "a remote peer"),
            (metadata(WASM, &[(4, &[(1, 1), (6, 2), (10, 1)])]), "has no direction"),
            (metadata(WASM, &[(4, &[(1, 1), (6, 2), (8, 1)])]), "has no port"),
            (metadata(WASM, &[(4, &[])]), "does not have"),
        ] {
            let error = Metadata::read(&bytes).expect_err("refused");
            assert!(error.message.contains(words), "{}", error.message);
        }
        let nowhere = Metadata::read(&metadata(UNDEFINED, &[(1, &gpio(9, 1))])).expect("valid");
        let error = nowhere.on_board(&board()).expect_err("refused").message;
        assert_eq!(error, "endpoint 1 is GPIO port 9; the board has 0 (LED), 3 (BUTTON)");
        let twice = Metadata::read(&metadata(WASM, &[(1, &gpio(0, 1)), (1, &gpio(3, 0))])).expect("valid");
        assert!(twice.on_board(&board()).is_err());
    }

    #[test]
    fn other_bytes_are_no_metadata() {
        let whole = metadata(WASM, &[(1, &gpio(0, 1))]);
        for length in 0..whole.len() {
            assert_eq!(Metadata::read(&whole[..length]).expect_err("cut off").failure, Failure::File);
        }
        assert!(Metadata::read(&[&whole[..], b"x"].concat()).is_err());
        for bytes in [&b"\0asm"[..], &[0xa0], &[0xda, 0, 0, 0, 1, 0xa0], &[0xff; 32]] {
            assert!(Metadata::read(bytes).is_err());
        }
    }
}
