//! The keys on this machine: pairs made, listed and shown, and changes of keys signed.

use std::path::{Path, PathBuf};

use key_files::{KeyDirectory, Look, PrivateKey, Secret, public_key};
use runner_tokens::{Body, Claims, Key, KeyId, Refusal, Role, Token};
use serde_json::{Value, json};

use super::super::{Context, print, sign::replace};
use crate::{
    arguments::{KeyNew, KeyPlace, KeyUpdate, KeyVerb},
    exit::Failure,
    kit::{
        keys::{directory, named, new_passphrase, passphrase, signer},
        signing::refused,
        trust::{KnownKeys, now, when},
        verification::look_at_update,
    },
    session::{Error, Result},
    show,
};

/// All verbs but those that speak to a node.
pub(super) fn keys(context: &Context, place: &KeyPlace, verb: &KeyVerb) -> Result<u8> {
    let directory = directory(place)?;
    match verb {
        KeyVerb::New(arguments) => new(context, &directory, arguments),
        KeyVerb::Update(arguments) => update(context, &directory, arguments),
        KeyVerb::List => list(context, &directory),
        KeyVerb::Show { key } => show_key(context, &directory, key),
        KeyVerb::Send { .. } => Err(Error::new(Failure::Internal, "`keys send` was not sent")),
    }
}

fn new(context: &Context, directory: &KeyDirectory, arguments: &KeyNew) -> Result<u8> {
    let name = &arguments.name;
    if !key_files::check_name(name) {
        let message = format!("`{name}` cannot be a key's name");
        let hint = "1 to 40 letters, digits, `-` and `_`, the first one no `-`";
        return Err(Error { hint, ..Error::new(Failure::Usage, message) });
    }
    // Before a person types a passphrase for nothing.
    if let Some(path) =
        [directory.private_path(name), directory.public_path(name)].into_iter().find(|path| path.exists())
    {
        return Err(key_files::KeyFileError { file: path, fault: key_files::Fault::Exists }.into());
    }
    let (key, of_source) = match &arguments.from {
        None => (PrivateKey::generate().map_err(|fault| at(directory, fault))?, None),
        Some(source) => source_key(source, arguments)?,
    };
    let passphrase = match of_source {
        _ if arguments.no_passphrase => None,
        Some(passphrase) => Some(passphrase),
        None => Some(new_passphrase(&arguments.passphrase, name)?),
    };
    let passphrase = passphrase.as_ref().map(|passphrase| passphrase.as_str());
    let public = directory.add(name, arguments.role, &key, passphrase)?;
    let shown = Shown::of(directory, name, public)?;
    let text = format!(
        "{}: a key for the role {}, id {}\n{}: give this one to those who are to believe it\n",
        shown.private_path.display(),
        public.role,
        public.id(),
        shown.public_path.display(),
    );
    print(context, &shown.json(), &text)?;
    Ok(0)
}

fn at(directory: &KeyDirectory, fault: key_files::Fault) -> Error {
    key_files::KeyFileError { file: directory.path().to_path_buf(), fault }.into()
}

/// A key that somebody made, and the passphrase that it had.
fn source_key(source: &Path, arguments: &KeyNew) -> Result<(PrivateKey, Option<Secret>)> {
    let mut used = None;
    let mut remembered = || -> Result<Option<Secret>> {
        used = passphrase(&arguments.passphrase, source)?;
        Ok(used.clone())
    };
    let key = if source == Path::new("-") {
        let path = Path::new("standard input");
        PrivateKey::parse(path, &key_files::read_text(path, std::io::stdin())?, &mut remembered)?
    } else {
        PrivateKey::read(source, &mut remembered)?
    };
    Ok((key, used))
}

/// A key and its files.
struct Shown {
    name: String,
    key: Key,
    private_path: PathBuf,
    public_path: PathBuf,
    /// None where there is only the public key.
    private: Option<Look>,
}

impl Shown {
    fn of(directory: &KeyDirectory, name: &str, key: Key) -> Result<Self> {
        let private_path = directory.private_path(name);
        let private = Look::at(&private_path)?;
        Ok(Self { name: name.to_owned(), key, private, private_path, public_path: directory.public_path(name) })
    }

    fn private_words(&self) -> String {
        match self.private {
            None => "-".to_owned(),
            Some(look) if !look.is_private() => format!("open to others ({:04o})", look.mode),
            Some(Look { encrypted: true, .. }) => "encrypted".to_owned(),
            Some(_) => "not encrypted".to_owned(),
        }
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "role": self.key.role.name(),
            "id": self.key.id().to_string(),
            "fingerprint": public_key::fingerprint(&self.key),
            "public_key": public_key::pem(&self.key).ok(),
            "public_file": self.public_path.display().to_string(),
            "private_file": self.private.map(|_| self.private_path.display().to_string()),
            "mode": self.private.map(|look| format!("{:04o}", look.mode)),
            "encrypted": self.private.map(|look| look.encrypted),
            "usable": self.private.map(|look| look.is_private()),
        })
    }

    fn text(&self) -> String {
        let private = match self.private {
            None => "not here".to_owned(),
            Some(look) => {
                let file = self.private_path.display();
                let encrypted = if look.encrypted { "encrypted" } else { "not encrypted" };
                let remedy =
                    if look.is_private() { String::new() } else { format!("; refused until: chmod 600 {file}") };
                format!("{file}, mode {:04o}, {encrypted}{remedy}", look.mode)
            }
        };
        let rows = [
            ("name", self.name.clone()),
            ("role", self.key.role.to_string()),
            ("id", self.key.id().to_string()),
            ("fingerprint", format!("sha256 {}", public_key::fingerprint(&self.key))),
            ("private key", private),
            ("public key", self.public_path.display().to_string()),
        ];
        let pem = public_key::pem(&self.key).unwrap_or_default();
        format!("{}{pem}", show::table(&rows.map(|(key, value)| [key.to_owned(), value])))
    }
}

fn show_key(context: &Context, directory: &KeyDirectory, word: &str) -> Result<u8> {
    let (name, key) = named(directory, word)?;
    let shown = Shown::of(directory, &name, key)?;
    print(context, &shown.json(), &shown.text())?;
    Ok(0)
}

/// Files that are no keys are told among the others: they would be missed at the next signature.
fn list(context: &Context, directory: &KeyDirectory) -> Result<u8> {
    let mut values = Vec::new();
    let mut rows = vec![["NAME", "ROLE", "ID", "PRIVATE KEY"].map(str::to_owned)];
    for entry in directory.entries()? {
        match entry.key {
            Ok(key) => {
                let shown = Shown::of(directory, &entry.name, key)?;
                rows.push([shown.name.clone(), key.role.to_string(), key.id().to_string(), shown.private_words()]);
                values.push(shown.json());
            }
            Err(error) => {
                values.push(json!({ "name": entry.name, "error": error.to_string() }));
                rows.push([entry.name, "-".to_owned(), "-".to_owned(), error.to_string()]);
            }
        }
    }
    let text = if rows.len() == 1 {
        format!("there are no keys in {}; `emit keys new NAME --role ROLE` makes one\n", directory.path().display())
    } else {
        show::table(&rows)
    };
    print(context, &Value::from(values), &text)?;
    Ok(0)
}

fn update(context: &Context, directory: &KeyDirectory, arguments: &KeyUpdate) -> Result<u8> {
    let known = KnownKeys::read(directory)?;
    let mut added = arguments.add.iter().map(|path| Ok(public_key::read(path)?)).collect::<Result<Vec<_>>>()?;
    added.sort_by_key(Key::id);
    let mut revoked = arguments.revoke.iter().map(|word| id(directory, word)).collect::<Result<Vec<_>>>()?;
    revoked.sort();
    let signer = signer(directory, &arguments.key)?;
    if let Some(role) = signer.role().filter(|role| *role != Role::Owner) {
        let message = format!("`{}` is the key of {role}; only an owner changes keys", arguments.key);
        return Err(Error { kind: "wrong-role", ..Error::new(Failure::Usage, message) });
    }
    let key = signer.open(&arguments.passphrase)?;
    let issued = now();
    let claims = Claims {
        subject: runner_tokens::KEYS_SUBJECT.into(),
        audience: arguments.board.clone(),
        expires: None,
        issued,
        sequence: arguments.sequence.unwrap_or(issued),
        body: Body::Keys { added, revoked },
    };
    let token = runner_tokens::sign(&claims, &key.signing_key()).map_err(|refusal| refused(&refusal))?;
    let board = arguments.board.as_deref().unwrap_or_default();
    match look_at_update(&token, board, &known) {
        // The node may know the owner's key where this directory does not.
        Ok(_) | Err(Refusal::UnknownKey { .. }) => {}
        Err(refusal) => return Err(refused(&refusal)),
    }
    replace(&arguments.output, &token)?;
    let token = Token { key: key.public().id(), claims };
    let (value, text) = update_words(&arguments.output, &token, None, &known);
    print(context, &value, &text)?;
    Ok(0)
}

/// An id, also of a key that is not here: it may be on the node alone.
fn id(directory: &KeyDirectory, word: &str) -> Result<KeyId> {
    match word.parse() {
        Ok(id) => Ok(id),
        Err(_) => Ok(named(directory, word)?.1.id()),
    }
}

/// A change of keys for a script and for a person.
pub(in crate::command) fn update_words(
    file: &Path,
    token: &Token,
    refusal: Option<&Refusal>,
    known: &KnownKeys,
) -> (Value, String) {
    let Token { key, claims } = token;
    let (added, revoked) = match &claims.body {
        Body::Keys { added, revoked } => (added.as_slice(), revoked.as_slice()),
        _ => (&[][..], &[][..]),
    };
    let value = json!({
        "file": file.display().to_string(),
        "key": key.to_string(),
        "key_name": known.name(*key),
        "sequence": claims.sequence,
        "issued": claims.issued,
        "board": claims.audience,
        "added": added
            .iter()
            .map(|key| json!({ "id": key.id().to_string(), "role": key.role.name() }))
            .collect::<Vec<_>>(),
        "revoked": revoked.iter().map(KeyId::to_string).collect::<Vec<_>>(),
        "accepted": refusal.is_none(),
        "refusal": refusal.map(|refusal| json!({ "rule": refusal.rule(), "message": refusal.to_string() })),
    });
    let board = claims.audience.as_ref().map_or_else(String::new, |board| format!(", for the board {board}"));
    let mut text = format!(
        "{}: a change of keys, signed by {} on {}, sequence {}{board}\n",
        file.display(),
        known.words(*key),
        when(claims.issued),
        claims.sequence,
    );
    for key in added {
        text.push_str(&format!("adds {} as {}\n", known.words(key.id()), key.role));
    }
    for id in revoked {
        text.push_str(&format!("revokes {}\n", known.words(*id)));
    }
    if let Some(refusal) = refusal {
        text.push_str(&format!("a node with these keys would refuse it [{}]: {refusal}\n", refusal.rule()));
    }
    (value, text)
}
