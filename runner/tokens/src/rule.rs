//! The names of the rules, for scripts and logs: stable, unlike the lines for people.

use crate::Refusal;

impl Refusal {
    /// The rule's name; stable.
    #[must_use]
    pub const fn rule(&self) -> &'static str {
        match self {
            Self::Module(_) => "module",
            Self::UnknownSection { .. } => "unknown-section",
            Self::DuplicateSection { .. } => "duplicate-section",
            Self::SectionOrder { .. } => "section-order",
            Self::ForeignSection { .. } => "foreign-section",
            Self::SectionLength { .. } => "section-length",
            Self::NoManifest => "no-manifest",
            Self::Manifest(_) => "manifest",
            Self::Files(_) => "files",
            Self::MissingToken(_) => "missing-token",
            Self::FilesWithoutToken => "files-without-token",
            Self::TokenWithoutFiles => "token-without-files",
            Self::KeysInContainer => "keys-in-container",
            Self::TokenTooLarge(_) => "token-too-large",
            Self::Form { .. } => "form",
            Self::Header(_) => "header",
            Self::SignatureSize(_) => "signature-size",
            Self::WrongKind { .. } => "wrong-kind",
            Self::UnknownClaim { .. } => "unknown-claim",
            Self::MissingClaim { .. } => "missing-claim",
            Self::BadClaim { .. } => "bad-claim",
            Self::EndsBeforeItBegins(_) => "ends-before-it-begins",
            Self::RightsOrder => "rights-order",
            Self::RightsForm { .. } => "rights-form",
            Self::NotARight(_) => "not-a-right",
            Self::UnknownKey { .. } => "unknown-key",
            Self::RevokedKey { .. } => "revoked-key",
            Self::WrongRole { .. } => "wrong-role",
            Self::Signature { .. } => "signature",
            Self::Expired { .. } => "expired",
            Self::OlderSequence { .. } => "older-sequence",
            Self::OtherContainer { .. } => "other-container",
            Self::OtherBoard { .. } => "other-board",
            Self::OtherCode(_) => "other-code",
            Self::OtherFiles(_) => "other-files",
            Self::OtherManifest(_) => "other-manifest",
            Self::OtherIntegrator { .. } => "other-integrator",
            Self::BadKey { .. } => "bad-key",
            Self::NoOwnerLeft => "no-owner-left",
            Self::LedgerFull => "ledger-full",
        }
    }
}
