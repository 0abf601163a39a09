//! One cell opens on standby what another has open, and takes it over at once.
//!
//! For an update: the new version of a container opens its lines while the old one still drives them. What it does to an
//! output then is remembered and counts from the take-over on; an input it can read, and watches from then on. Nothing of it
//! reaches a line before, and no line rests in between. The warden alone says who succeeds whom; the grants decide as always.

use runner_interfaces::{
    MAX_CELLS,
    gpio::{Edges, Procedure, Pull, Status},
    grants::MAX_LINES,
    kernel::{Message, Wiring},
};

use super::{Gpio, LineGrants, Outcome, Use, edges_of, granted, level_of, opened, procedure_of, pull_of};
use crate::bank::Bank;

/// What a cell on standby wants of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standby {
    /// To drive it to that level; `None` leaves the level that it finds.
    Output {
        high: Option<bool>,
    },
    Input {
        watched: Option<Edges>,
        pull: Option<Pull>,
    },
}

/// Two cells of a call of the warden's.
fn cells_of(message: Message) -> Result<(usize, usize), Status> {
    let cell = |word: u64| usize::try_from(word).ok().filter(|&cell| cell < MAX_CELLS).ok_or(Status::NotFound);
    let (first, second) = (cell(message.words[0])?, cell(message.words[1])?);
    if first == second { Err(Status::Invalid) } else { Ok((first, second)) }
}

impl<W: Wiring, B: Bank> Gpio<W, B> {
    /// The second cell of `message` may open on standby what the first has open.
    pub(super) fn succeed(&mut self, message: Message) -> Outcome {
        let (from, to) = cells_of(message)?;
        let involved = |cell: usize| self.heirs[cell].is_some() || self.heirs.contains(&Some(cell));
        if involved(from) || involved(to) {
            return Err(Status::Busy);
        }
        self.heirs[from] = Some(to);
        Ok(0)
    }

    /// What both cells have open is the second's from here on, and the first's on standby. Answers the second.
    pub(super) fn take_over(&mut self, message: Message) -> Result<usize, Status> {
        let (from, to) = cells_of(message)?;
        if self.heirs[from] != Some(to) {
            return Err(Status::Invalid);
        }
        (self.heirs[from], self.heirs[to]) = (None, Some(from));
        for line in 0..MAX_LINES {
            let Some((_, standby)) = self.line(line).heir.filter(|(heir, _)| *heir == to) else { continue };
            match self.line(line).holder {
                Some((holder, held)) if holder == from => self.hand_over(line, (from, held), (to, standby)),
                // It was closed meanwhile.
                None => self.hand_to(line, to, standby),
                Some(_) => {}
            }
        }
        Ok(to)
    }

    /// Who has edges to take on lines that it has taken over, and was not notified of them.
    pub(super) fn has_untaken_edges(&self, cell: usize) -> bool {
        self.lines.iter().any(|line| {
            (line.untaken > 0 || line.withheld > 0) && line.holder.is_some_and(|(holder, _)| holder == cell)
        })
    }

    /// The cell is released: it succeeds nobody, and nobody succeeds it.
    pub(super) fn forget_heir(&mut self, cell: usize) {
        self.heirs[cell] = None;
        for heir in self.heirs.iter_mut().filter(|heir| **heir == Some(cell)) {
            *heir = None;
        }
        for line in self.lines.iter_mut().filter(|line| line.heir.is_some_and(|(heir, _)| heir == cell)) {
            line.heir = None;
        }
    }

    /// Whether `cell` may only stand by at this line, because who has it open is succeeded by it.
    pub(super) fn stands_by(&self, cell: usize, line: u8) -> bool {
        let holder = self.lines[usize::from(line)].holder;
        holder.is_some_and(|(holder, _)| holder != cell && self.heirs[holder] == Some(cell))
    }

    /// Serves the call of a cell that stands by at the line.
    pub(super) fn serve_standby(&mut self, cell: usize, line: u8, message: Message, grants: LineGrants) -> Outcome {
        let argument = message.words[1];
        match procedure_of(message)? {
            Procedure::OpenOutput => {
                granted(grants.output, grants)?;
                self.stand_by(cell, line, Standby::Output { high: None });
                Ok(opened(grants, self.level_on_standby(cell, line)))
            }
            Procedure::OpenInput => {
                granted(grants.readable(), grants)?;
                self.stand_by(cell, line, Standby::Input { watched: None, pull: None });
                Ok(opened(grants, self.level_on_standby(cell, line)))
            }
            Procedure::Set => self.set_on_standby(cell, line, grants, level_of(argument)?),
            Procedure::Toggle => {
                let high = self.level_on_standby(cell, line);
                self.set_on_standby(cell, line, grants, !high)
            }
            Procedure::Get => {
                granted(grants.any(), grants)?;
                self.standby(cell, line)?;
                Ok(u64::from(self.level_on_standby(cell, line)))
            }
            Procedure::Watch => {
                granted(grants.edges, grants)?;
                let edges = edges_of(argument)?;
                let Standby::Input { pull, .. } = self.standby(cell, line)? else { return Err(Status::Invalid) };
                self.stand_by(cell, line, Standby::Input { watched: Some(edges), pull });
                Ok(0)
            }
            // Edges are counted for who has the line.
            Procedure::TakeEdges => {
                granted(grants.edges, grants)?;
                match self.standby(cell, line)? {
                    Standby::Input { watched: Some(_), .. } => Ok(0),
                    _ => Err(Status::Invalid),
                }
            }
            Procedure::Pull => {
                granted(grants.readable(), grants)?;
                let pull = pull_of(argument)?;
                let Standby::Input { watched, .. } = self.standby(cell, line)? else { return Err(Status::Invalid) };
                self.stand_by(cell, line, Standby::Input { watched, pull: Some(pull) });
                Ok(0)
            }
            Procedure::Close => {
                self.standby(cell, line)?;
                self.line(line).heir = None;
                Ok(0)
            }
            Procedure::Release | Procedure::Succeed | Procedure::TakeOver | Procedure::Listen => Err(Status::Invalid),
        }
    }

    fn standby(&self, cell: usize, line: u8) -> Result<Standby, Status> {
        match self.lines[usize::from(line)].heir {
            Some((heir, standby)) if heir == cell => Ok(standby),
            _ => Err(Status::Invalid),
        }
    }

    fn stand_by(&mut self, cell: usize, line: u8, standby: Standby) {
        let opened_before = self.standby(cell, line);
        // Opened again in the same way: it goes on as it is.
        let again = matches!(
            (opened_before, standby),
            (Ok(Standby::Output { .. }), Standby::Output { high: None })
                | (Ok(Standby::Input { .. }), Standby::Input { watched: None, pull: None })
        );
        if !again {
            self.line(line).heir = Some((cell, standby));
        }
    }

    fn set_on_standby(&mut self, cell: usize, line: u8, grants: LineGrants, high: bool) -> Outcome {
        granted(grants.output, grants)?;
        match self.standby(cell, line)? {
            Standby::Output { .. } => self.line(line).heir = Some((cell, Standby::Output { high: Some(high) })),
            Standby::Input { .. } => return Err(Status::Invalid),
        }
        Ok(u64::from(high))
    }

    /// The level that the cell would find: its own where it set one, else the line's.
    fn level_on_standby(&self, cell: usize, line: u8) -> bool {
        match (self.standby(cell, line), self.lines[usize::from(line)].holder) {
            (Ok(Standby::Output { high: Some(high) }), _) | (_, Some((_, Use::Output { high }))) => high,
            _ => self.bank.level(line),
        }
    }

    /// A line that nobody has goes to who stood by.
    fn hand_to(&mut self, line: u8, to: usize, standby: Standby) {
        self.line(line).heir = None;
        match standby {
            Standby::Output { high } => {
                let rest = self.grants_of(to, line).active_low;
                self.line(line).rests_high = rest;
                self.hold(line, Some((to, Use::Output { high: rest })));
                let high = high.unwrap_or(rest);
                self.drive(line, high);
                self.hold(line, Some((to, Use::Output { high })));
            }
            Standby::Input { watched, pull } => {
                self.listen(to, line);
                self.watch_edges(line, watched);
                let pull = pull.filter(|pull| self.bank.pull(line, *pull));
                self.hold(line, Some((to, Use::Input { watched, pull })));
                self.forget_edges(line);
            }
        }
    }

    fn hand_over(&mut self, line: u8, (from, held): (usize, Use), (to, standby): (usize, Standby)) {
        let left = match held {
            Use::Output { high } => Standby::Output { high: Some(high) },
            Use::Input { watched, pull } => Standby::Input { watched, pull },
        };
        self.line(line).heir = Some((from, left));
        match (held, standby) {
            (Use::Output { high: found }, Standby::Output { high }) => {
                let high = high.unwrap_or(found);
                self.drive(line, high);
                self.hold(line, Some((to, Use::Output { high })));
            }
            (Use::Input { .. }, Standby::Output { high }) => {
                self.stop_watching(line);
                let rest = self.grants_of(to, line).active_low;
                self.line(line).rests_high = rest;
                let high = high.unwrap_or(rest);
                self.hold(line, Some((to, Use::Output { high })));
                self.put_level(line, high);
            }
            // Edges go on being counted: those that the one did not take are the other's.
            (Use::Input { watched: counted, pull: pulled }, Standby::Input { watched, pull }) if counted == watched => {
                let pull = pull.filter(|pull| self.bank.pull(line, *pull)).or(pulled);
                self.hold(line, Some((to, Use::Input { watched, pull })));
            }
            (_, Standby::Input { watched, pull }) => {
                match held {
                    Use::Output { .. } => self.rest(line),
                    Use::Input { .. } => self.stop_watching(line),
                }
                self.listen(to, line);
                self.watch_edges(line, watched);
                // What the bank cannot do the container hears of when it asks as the holder.
                let pull = pull.filter(|pull| self.bank.pull(line, *pull));
                self.hold(line, Some((to, Use::Input { watched, pull })));
                self.forget_edges(line);
            }
        }
    }
}
