//! A name for each rule, and a line for the person who broke it.

use alloc::{string::String, vec::Vec};
use core::fmt;

use runner_container::{FilesError, ManifestError, OWN_SECTIONS, SectionError, Violation, rights::WrongRight};

use crate::{KeyId, MAX_TOKEN_BYTES, Role, TokenKind, claims::claim};

/// The rule that was broken. Shown, it says what is wrong and, where somebody can do something about it, what.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The module's sections are not whole.
    Module(SectionError),
    /// A section of Atoll's that this version does not know.
    UnknownSection {
        /// Where it begins.
        offset: usize,
    },
    /// A section of Atoll's is there twice.
    DuplicateSection {
        /// Its name.
        section: &'static str,
    },
    /// A section of Atoll's stands behind one that must follow it.
    SectionOrder {
        /// Its name.
        section: &'static str,
    },
    /// A section that is not Atoll's stands behind or among Atoll's, where no hash covers it.
    ForeignSection {
        /// Where it begins.
        offset: usize,
    },
    /// A length in a section of Atoll's is not in its shortest form.
    SectionLength {
        /// Its name.
        section: &'static str,
    },
    /// There is no manifest.
    NoManifest,
    /// The manifest breaks a rule.
    Manifest(ManifestError),
    /// The files break a rule.
    Files(FilesError),
    /// A token that must be there is not.
    MissingToken(TokenKind),
    /// There are files and no data token.
    FilesWithoutToken,
    /// There is a data token and no files.
    TokenWithoutFiles,
    /// A change of keys is to be put into a container.
    KeysInContainer,
    /// A token is too large.
    TokenTooLarge(TokenKind),
    /// A token is not in the one form that it may have.
    Form {
        /// Of which token.
        kind: TokenKind,
        /// The rule.
        violation: Violation,
        /// At which of its bytes.
        offset: usize,
    },
    /// A token's headers are not the ones that it may have.
    Header(TokenKind),
    /// A signature has another size than Ed25519's.
    SignatureSize(TokenKind),
    /// A token of another kind stands there.
    WrongKind {
        /// What should stand there.
        kind: TokenKind,
        /// The number of the kind that the token says that it is.
        found: u64,
    },
    /// A claim that this kind of token does not have.
    UnknownClaim {
        /// Of which token.
        kind: TokenKind,
        /// The claim's number.
        claim: i64,
    },
    /// A claim that must be there is not.
    MissingClaim {
        /// Of which token.
        kind: TokenKind,
        /// The claim's number.
        claim: i64,
    },
    /// A claim says something that it cannot say.
    BadClaim {
        /// Of which token.
        kind: TokenKind,
        /// The claim's number.
        claim: i64,
        /// The rule.
        violation: Violation,
    },
    /// A token ends before it was made.
    EndsBeforeItBegins(TokenKind),
    /// Rights do not ascend, or one is there twice.
    RightsOrder,
    /// Rights are not written in their one form.
    RightsForm {
        /// The same rights, written as they must be.
        canonical: Vec<String>,
    },
    /// What is granted is no right, or contradicts another.
    NotARight(WrongRight),
    /// The key is not known.
    UnknownKey {
        /// Of which token.
        kind: TokenKind,
        /// The key.
        key: KeyId,
    },
    /// The key was revoked.
    RevokedKey {
        /// Of which token.
        kind: TokenKind,
        /// The key.
        key: KeyId,
    },
    /// The key has another role.
    WrongRole {
        /// Of which token.
        kind: TokenKind,
        /// The key.
        key: KeyId,
        /// The role that it has.
        role: Role,
    },
    /// The signature is not of that key over these claims.
    Signature {
        /// Of which token.
        kind: TokenKind,
        /// The key.
        key: KeyId,
    },
    /// The token's time is over.
    Expired {
        /// Of which token.
        kind: TokenKind,
        /// When it ended, in seconds since 1970.
        expires: u64,
        /// It is at least so late.
        known: u64,
    },
    /// A newer token was accepted, or the image asks for a newer one.
    OlderSequence {
        /// Of which token.
        kind: TokenKind,
        /// Its sequence.
        sequence: u64,
        /// The lowest that is accepted.
        lowest: u64,
    },
    /// The token is for another container.
    OtherContainer {
        /// Of which token.
        kind: TokenKind,
        /// For which.
        subject: String,
        /// The name of this one.
        name: String,
    },
    /// The token is for another board.
    OtherBoard {
        /// Of which token.
        kind: TokenKind,
        /// For which.
        audience: String,
        /// The name of this one.
        board: String,
    },
    /// The token is about other code.
    OtherCode(TokenKind),
    /// The token is about other files.
    OtherFiles(TokenKind),
    /// The token is about another manifest.
    OtherManifest(TokenKind),
    /// The grant trusts another integrator than the one who signed the metadata.
    OtherIntegrator {
        /// Whom the grant trusts.
        trusted: KeyId,
        /// Who signed.
        signed: KeyId,
    },
    /// A change of keys adds a key that is no key, that was revoked, that has another role, or that it revokes.
    BadKey {
        /// The key.
        key: KeyId,
    },
    /// After that change no owner's key would be left.
    NoOwnerLeft,
    /// There is no room to remember it until the node's next start.
    LedgerFull,
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Module(error) => error.fmt(formatter),
            Self::UnknownSection { .. }
            | Self::DuplicateSection { .. }
            | Self::SectionOrder { .. }
            | Self::ForeignSection { .. }
            | Self::SectionLength { .. } => self.layout(formatter),
            Self::NoManifest => {
                formatter.write_str("the container has no manifest (`atoll.app`): pack it before it is signed")
            }
            Self::Manifest(error) => error.fmt(formatter),
            Self::Files(error) => error.fmt(formatter),
            Self::MissingToken(kind) => {
                write!(formatter, "the {kind} token is missing: the {} has to sign it", kind.role())
            }
            Self::FilesWithoutToken => {
                formatter.write_str("the container has files and no data token: the provider has to sign them")
            }
            Self::TokenWithoutFiles => formatter.write_str("the container has a data token and no files"),
            Self::KeysInContainer => {
                formatter.write_str("a keys token stands in a file of its own, not in a container")
            }
            Self::BadKey { key } => write!(
                formatter,
                "key {key} cannot be added: it is no usable key, was revoked, has another role, or is revoked at once"
            ),
            Self::NoOwnerLeft => formatter.write_str("after this change no owner's key would be left"),
            Self::OtherIntegrator { trusted, signed } => {
                write!(formatter, "the grant token trusts integrator {trusted}, and {signed} signed the metadata token")
            }
            Self::RightsOrder | Self::RightsForm { .. } | Self::NotARight(_) => self.rights(formatter),
            Self::LedgerFull => {
                formatter.write_str("this node can remember no more sequences or keys until it is started anew")
            }
            _ => self.token(formatter),
        }
    }
}

impl Refusal {
    fn layout(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownSection { offset } => {
                write!(formatter, "the section of Atoll's at byte {offset} is not known to this version")
            }
            Self::DuplicateSection { section } => write!(formatter, "the section `{section}` is there twice"),
            Self::SectionOrder { section } => {
                write!(formatter, "the section `{section}` stands at the wrong place; the order is")?;
                OWN_SECTIONS.iter().try_for_each(|name| write!(formatter, " `{name}`"))
            }
            Self::SectionLength { section } => {
                write!(formatter, "a length in the section `{section}` is not in its shortest form")
            }
            Self::ForeignSection { offset } => write!(
                formatter,
                "the section at byte {offset} stands behind or among Atoll's, where nobody signed it: pack it again"
            ),
            _ => Ok(()),
        }
    }

    /// What is wrong with the list of rights in a grant token.
    fn rights(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RightsOrder => formatter.write_str("the grant token's rights do not ascend, or one is there twice"),
            Self::RightsForm { canonical } => {
                formatter.write_str("the grant token's rights are not in their one form, which is")?;
                canonical.iter().try_for_each(|right| write!(formatter, " `{right}`"))
            }
            Self::NotARight(wrong) => write!(formatter, "the grant token has `{}`: {wrong}", wrong.text),
            _ => Ok(()),
        }
    }

    /// What is wrong with one token.
    fn token(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(kind) = self.kind() else { return Ok(()) };
        write!(formatter, "the {kind} token ")?;
        match self {
            Self::TokenTooLarge(_) => write!(formatter, "has more than {MAX_TOKEN_BYTES} bytes"),
            Self::Form { violation, offset, .. } => {
                write!(formatter, "is not in its one form, at byte {offset}: {violation}")
            }
            Self::Header(_) => formatter
                .write_str("has other headers than algorithm EdDSA and the key's id, protected, and none unprotected"),
            Self::SignatureSize(_) => formatter.write_str("has a signature that is not of 64 bytes"),
            Self::WrongKind { found, .. } => match TokenKind::of_number(*found) {
                Some(other) => write!(formatter, "is a {other} token"),
                None => write!(formatter, "says that it is of kind {found}, which there is not"),
            },
            Self::UnknownClaim { claim, .. } => {
                write!(formatter, "has claim {claim} ({}), which its kind does not have", claim::name(*claim))
            }
            Self::MissingClaim { claim, .. } => write!(formatter, "lacks claim {claim} ({})", claim::name(*claim)),
            Self::BadClaim { claim, violation, .. } => {
                write!(formatter, "has a bad claim {claim} ({}): {violation}", claim::name(*claim))
            }
            Self::EndsBeforeItBegins(_) => formatter.write_str("expires before it was made"),
            _ => self.belief(kind, formatter),
        }
    }

    /// Why one token whose form is right is not believed.
    fn belief(&self, kind: TokenKind, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey { key, .. } => {
                write!(formatter, "is signed with key {key}, which is not known here")
            }
            Self::RevokedKey { key, .. } => write!(formatter, "is signed with key {key}, which the owner revoked"),
            Self::WrongRole { key, role, .. } => {
                write!(formatter, "is signed with key {key}, whose role is {role}; it takes the {}", kind.role())
            }
            Self::Signature { key, .. } => {
                write!(formatter, "has a signature that is not of key {key} over these claims")
            }
            Self::Expired { expires, known, .. } => {
                write!(formatter, "expired on {}; it is {} at least", Date(*expires), Date(*known))
            }
            Self::OlderSequence { sequence, lowest, .. } => {
                write!(formatter, "has sequence {sequence}; this node accepts {lowest} and above: sign it anew")
            }
            Self::OtherContainer { subject, name, .. } => write!(formatter, "is for `{subject}`, and this is `{name}`"),
            Self::OtherBoard { audience, board, .. } => {
                write!(formatter, "is for the board `{audience}`, and this is `{board}`")
            }
            Self::OtherCode(_) => formatter.write_str("is about other code: the module's bytes are not those signed"),
            Self::OtherFiles(_) => formatter.write_str("is about other files: they are not those signed"),
            Self::OtherManifest(_) => formatter.write_str("is about another manifest: it is not the one signed"),
            _ => Ok(()),
        }
    }

    /// The token that it is about, where it is about one.
    #[must_use]
    pub const fn kind(&self) -> Option<TokenKind> {
        match self {
            Self::MissingToken(kind)
            | Self::TokenTooLarge(kind)
            | Self::Form { kind, .. }
            | Self::Header(kind)
            | Self::SignatureSize(kind)
            | Self::WrongKind { kind, .. }
            | Self::UnknownClaim { kind, .. }
            | Self::MissingClaim { kind, .. }
            | Self::BadClaim { kind, .. }
            | Self::EndsBeforeItBegins(kind)
            | Self::UnknownKey { kind, .. }
            | Self::RevokedKey { kind, .. }
            | Self::WrongRole { kind, .. }
            | Self::Signature { kind, .. }
            | Self::Expired { kind, .. }
            | Self::OlderSequence { kind, .. }
            | Self::OtherContainer { kind, .. }
            | Self::OtherBoard { kind, .. }
            | Self::OtherCode(kind)
            | Self::OtherFiles(kind)
            | Self::OtherManifest(kind) => Some(*kind),
            Self::FilesWithoutToken | Self::TokenWithoutFiles => Some(TokenKind::Data),
            Self::RightsOrder | Self::RightsForm { .. } | Self::NotARight(_) | Self::OtherIntegrator { .. } => {
                Some(TokenKind::Grant)
            }
            Self::KeysInContainer | Self::BadKey { .. } | Self::NoOwnerLeft => Some(TokenKind::Keys),
            _ => None,
        }
    }
}

impl core::error::Error for Refusal {}

impl fmt::Display for TokenKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Seconds since 1970, shown as date and time in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date(pub u64);

impl fmt::Display for Date {
    /// Days since 1 March 0000 are cut into eras of 400 years, since a leap day ends such a year (H. Hinnant, `civil_from_days`).
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.0 / 86_400 + 719_468, self.0 % 86_400);
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let from_march = (5 * day + 2) / 153;
        let day = day - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = era * 400 + year + u64::from(month <= 2);
        let (hour, minute) = (second / 3_600, second / 60 % 60);
        write!(formatter, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{:02} UTC", second % 60)
    }
}
