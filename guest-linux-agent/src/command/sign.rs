//! `emit sign`: one role's token, put into a container.

use std::{
    fs,
    io::Write,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use runner_container::rights::{NotCanonical, Rights};
use runner_tokens::{Body, KeyId, Role, TokenKind};
use serde_json::{Value, json};

use super::{Context, print};
use crate::{
    arguments::Sign,
    exit::Failure,
    kit::{
        keys::{Signer, directory, named, signer},
        signing::{GrantTerms, Signed, Terms, Told, carry, sign},
        trust::{KnownKeys, now, when},
    },
    module,
    session::{Error, Result},
};

pub(super) fn sign_container(context: &Context, arguments: &Sign) -> Result<u8> {
    let directory = directory(&arguments.place)?;
    let module = module::read(&arguments.file)?;
    let known = KnownKeys::read(&directory)?;
    let integrator = arguments.integrator.as_deref().map(|word| integrator(&directory, word)).transpose()?;
    let signer = signer(&directory, &arguments.key)?;
    let role = role(arguments, &signer)?;
    let asked = module.manifest.as_ref().map(|manifest| manifest.grants.as_slice()).unwrap_or_default();
    check_options(arguments, role, asked)?;
    let terms = Terms {
        role,
        issued: now(),
        sequence: arguments.sequence,
        expires: arguments.expires.as_ref().map(|expiry| expiry.after(now())),
        board: arguments.board.clone(),
        grant: match integrator {
            Some(integrator) if role == Role::Owner => {
                Some(GrantTerms { integrator, rights: rights(&arguments.grants)? })
            }
            _ => None,
        },
    };
    let of_file = |error: Error| Error { message: format!("{}: {}", arguments.file.display(), error.message), ..error };
    let (bytes, carried) = match &arguments.carry {
        None => (module.bytes, Vec::new()),
        Some(earlier) => carry(&module.bytes, &module::read(earlier)?.bytes, role).map_err(of_file)?,
    };
    // Last, so that nobody types a passphrase for nothing.
    let key = signer.open(&arguments.passphrase)?;
    let signed = sign(&bytes, &terms, &key, &known).map_err(of_file)?;
    let output = arguments.output.as_ref().unwrap_or(&arguments.file);
    replace(output, &signed.bytes)?;
    let (value, text) = words(output, &signed, &carried, key.public().id(), &known);
    print(context, &value, &text)?;
    Ok(0)
}

/// The role that was named, or the key's. A key signs in no other role than its own: no node would believe it.
fn role(arguments: &Sign, signer: &Signer) -> Result<Role> {
    match (arguments.role, signer.role()) {
        (Some(named), Some(own)) if named != own => {
            let message = format!("`{}` is the key of {own}, and cannot sign as {named}", arguments.key);
            let hint = "`emit keys list` shows the role of each; `emit keys new NAME --role ROLE` makes one";
            Err(Error { kind: "wrong-role", hint, ..Error::new(Failure::Usage, message) })
        }
        (Some(role), _) | (None, Some(role)) => Ok(role),
        (None, None) => {
            let message = format!("nothing says which role `{}` has", arguments.key);
            Err(Error { hint: "name it with --as ROLE", ..Error::new(Failure::Usage, message) })
        }
    }
}

/// Only an owner grants, and says whom it trusts; only who speaks of a whole container speaks of boards.
fn check_options(arguments: &Sign, role: Role, asked: &[String]) -> Result<()> {
    let usage = |message: String, hint| Err(Error { hint, ..Error::new(Failure::Usage, message) });
    let has_rights = !arguments.grants.is_empty() || arguments.no_rights;
    if role == Role::Owner {
        if !has_rights {
            let asked = Rights::of(asked).map(|rights| as_options(&rights.texts())).unwrap_or_default();
            let asks = if asked.is_empty() { " no rights: --no-rights".to_owned() } else { asked };
            return usage(
                format!("an owner says which rights it grants; the container asks for{asks}"),
                "what is granted and not asked for has no effect",
            );
        }
        if arguments.integrator.is_none() {
            return usage(
                "an owner says which integrator it trusts".into(),
                "name the key with --integrator NAME or ID; `emit verify FILE` shows who signed",
            );
        }
        return Ok(());
    }
    if has_rights || arguments.integrator.is_some() {
        return usage(
            format!("--grant, --no-rights and --integrator are the owner's, and this is the {role}"),
            "an integrator signs the rights that app.toml asks for",
        );
    }
    if arguments.board.is_some() && role != Role::Integrator {
        return usage(
            format!("--board is for integrator and owner: what the {role} signs is for any board"),
            "leave it out",
        );
    }
    Ok(())
}

/// A key of that name or id; an id need not be of a key that is here.
fn integrator(directory: &key_files::KeyDirectory, word: &str) -> Result<KeyId> {
    match (named(directory, word), word.parse::<KeyId>()) {
        (Ok((name, key)), _) if key.role != Role::Integrator => {
            let message = format!("`{name}` is the key of {}, not of an integrator", key.role);
            Err(Error { kind: "wrong-role", ..Error::new(Failure::Usage, message) })
        }
        (Ok((_, key)), _) => Ok(key.id()),
        (Err(_), Ok(id)) => Ok(id),
        (Err(error), Err(_)) => Err(error),
    }
}

/// Rights as an owner types them.
fn as_options(texts: &[String]) -> String {
    texts.iter().map(|right| format!(" --grant {right}")).collect()
}

/// In any order, and otherwise as it is signed: an owner reads in the token, and on the node, what was typed here.
fn rights(texts: &[String]) -> Result<Rights> {
    let mut sorted = texts.to_vec();
    sorted.sort();
    Rights::of_canonical(&sorted).map_err(|wrong| match wrong {
        NotCanonical::Wrong(wrong) => {
            Error::new(Failure::Usage, format!("`--grant {}` is not understood: {wrong}", wrong.text))
        }
        NotCanonical::Form(canonical) => {
            let message = "rights are signed in the one form that each set of them has";
            Error::new(Failure::Usage, format!("{message}; for these it is{}", as_options(&canonical)))
        }
    })
}

/// Puts the bytes where they belong in one step, so that nobody finds half a container.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    // What a link points to is replaced, not the link.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let failed = |error: std::io::Error| Error::new(Failure::File, format!("cannot write {}: {error}", path.display()));
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}", std::process::id()));
    let beside: PathBuf = path.with_file_name(name);
    let mode = fs::metadata(path).map_or(0o666, |metadata| metadata.mode() & 0o777);
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&beside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&beside, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&beside);
        failed(error)
    })
}

/// What was done, for a script and for a person.
fn words(path: &Path, signed: &Signed, carried: &[TokenKind], key: KeyId, known: &KnownKeys) -> (Value, String) {
    let Signed { claims, removed, unchecked, missing, asked, .. } = signed;
    let told = |tokens: &[Told]| -> Vec<_> {
        tokens.iter().map(|token| json!({ "token": token.kind.name(), "why": token.why })).collect()
    };
    let kind = claims.kind();
    let (rights, integrator) = match &claims.body {
        Body::Grant { rights, integrator } => (Some(rights), Some(integrator.to_string())),
        _ => (None, None),
    };
    let value = json!({
        "signed": path.display().to_string(),
        "name": claims.subject,
        "token": kind.name(),
        "role": kind.role().name(),
        "key": key.to_string(),
        "sequence": claims.sequence,
        "issued": claims.issued,
        "expires": claims.expires,
        "board": claims.audience,
        "integrator": integrator,
        "rights": rights,
        "carried": carried.iter().map(|kind| kind.name()).collect::<Vec<_>>(),
        "removed": told(removed),
        "unchecked": told(unchecked),
        "missing": missing.iter().map(|role| role.name()).collect::<Vec<_>>(),
    });
    let until = claims.expires.map_or_else(|| "no end".to_owned(), |end| format!("until {}", when(end)));
    let board = claims.audience.as_ref().map_or_else(String::new, |board| format!(", for the board {board}"));
    let mut text = format!(
        "{}: {} signed as {} by {}, sequence {}, {until}{board}\n",
        path.display(),
        claims.subject,
        kind.role(),
        known.words(key),
        claims.sequence,
    );
    if !carried.is_empty() {
        let kinds: Vec<_> = carried.iter().map(|kind| kind.name()).collect();
        text.push_str(&format!("carried over: {}\n", kinds.join(", ")));
    }
    for Told { kind, why } in removed {
        text.push_str(&format!("removed: {why}; the {} signs again\n", kind.role()));
    }
    for Told { why, .. } in unchecked {
        text.push_str(&format!("not checked: {why}\n"));
    }
    if let Some(rights) = rights {
        text.push_str(&not_granted(asked, rights));
    }
    if !missing.is_empty() {
        let roles: Vec<_> = missing.iter().map(|role| role.name()).collect();
        text.push_str(&format!("still to sign: {}\n", roles.join(", ")));
    }
    (value, text)
}

/// What the container asks for and the owner leaves out.
fn not_granted(asked: &[String], granted: &[String]) -> String {
    let granted = Rights::of(granted).unwrap_or_default();
    let granted = granted.limited_as(&Rights::of(asked).unwrap_or_default());
    let is_left_out = |right: &&String| Rights::of([right]).is_ok_and(|right| !granted.covers(&right));
    let left_out: Vec<_> = asked.iter().filter(is_left_out).map(String::as_str).collect();
    if left_out.is_empty() {
        return String::new();
    }
    format!("asked for and not, or not wholly, granted: {}\n", left_out.join(", "))
}
