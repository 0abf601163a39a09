//! Grants and channels of an `app.toml`. What else stands there is `emit check`'s to judge.

use std::fmt;

use toml::{Table, Value};

use super::{Direction, Node};

/// What a node cannot read in an `app.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppError(String);

impl AppError {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for AppError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "app.toml: {}", self.0)
    }
}

impl std::error::Error for AppError {}

pub(super) fn apply(node: &mut Node, text: &str) -> Result<(), AppError> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| AppError::new(error.message()))?;
    let list = table.get("grants").and_then(|grants| grants.get("list")).and_then(Value::as_array);
    for grant in list.into_iter().flatten() {
        let grant = grant.as_str().ok_or_else(|| AppError::new("a grant is a text"))?;
        node.state.borrow_mut().grant(grant)?;
    }
    for channel in table.get("channel").and_then(Value::as_array).into_iter().flatten() {
        declare(node, channel)?;
    }
    Ok(())
}

fn declare(node: &mut Node, channel: &Value) -> Result<(), AppError> {
    let text = |key: &str| {
        let missing = || AppError::new(format!("a channel says its {key}"));
        channel.get(key).and_then(Value::as_str).ok_or_else(missing)
    };
    let name = text("name")?;
    let direction = match text("direction")? {
        "put" => Direction::Put,
        "get" => Direction::Get,
        other => return Err(AppError::new(format!("{name}: a channel puts or gets, and does not `{other}`"))),
    };
    let depth = match text("kind")? {
        "latest" => 0,
        "queue" => {
            let depth = channel.get("depth").and_then(Value::as_integer).and_then(|depth| usize::try_from(depth).ok());
            let missing = || AppError::new(format!("{name}: a queue says its depth, from 1"));
            depth.filter(|depth| *depth > 0).ok_or_else(missing)?
        }
        other => return Err(AppError::new(format!("{name}: a channel is latest or queue, and not `{other}`"))),
    };
    let declared = node.state.borrow_mut().declare(name, direction, text("type")?, depth);
    declared.map_err(|error| AppError::new(format!("{name}: {error}")))
}
