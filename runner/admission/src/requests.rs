//! Requests that change something: uploads, and the verbs of a container's life.

use alloc::{boxed::Box, format, string::String};
use core::mem::offset_of;

use runner_interfaces::{
    cell::{ContainerState, NodeIdentity},
    grants::grant_offset_bytes,
    kernel::{CALL_FAILED, Instant, Kernel, Message},
    plan::{LoadRequest, Plan},
    timer::TimerStatus,
    warden::{self, Procedure, WardenStatus},
};
use runner_tokens::{Signatures, Verdict};
use sha2::Digest;
use shared_ring::{SharedMemory, SharedValues};
use shared_ring_messages::{AdmissionReport, Answer, CHUNK_BYTES, CHUNK_CREDIT, DeployRequest, ErrorCode, Request};

use crate::{
    admission::Admission,
    cell::{CellPort, CopyError},
    container::{Container, Purpose, Upload},
    counters::Counter,
    declaration,
    events::{Event, Page},
    failure::Failure,
    inspection,
    pending::{Pending, Wish},
    policy::{Policy, Rights},
    trust, validation,
};

/// An answer now (`Some`), or later.
pub(crate) type Served = Result<Option<Answer>, Failure>;

impl<M: SharedMemory + Clone> Admission<M> {
    pub(crate) fn serve<K: Kernel>(&mut self, kernel: &mut K, index: usize, number: u32, request: Request) -> Served {
        let now = kernel.now();
        if let Some(failure) = self.warden_stands_still(now).filter(|_| takes_the_warden(&request)) {
            return Err(failure);
        }
        match request {
            Request::Info => Ok(Some(self.info(now))),
            Request::List => Ok(Some(self.list(now))),
            Request::Deploy(request) => self.announce(kernel, index, request, Purpose::Deploy),
            Request::Chunk { sequence, bytes } => self.chunk(kernel, index, sequence, &bytes),
            Request::Commit => self.commit(kernel, index, number),
            Request::Start(name) => self.start_container(kernel, index, number, &name),
            Request::Stop(name) => self.stop_container(kernel, index, number, &name),
            Request::Restart(name) => self.restart_container(kernel, index, number, &name),
            Request::Kill(name) => self.kill_container(kernel, &name),
            Request::Remove(name) => self.remove_named(kernel, &name),
            Request::Inspect(name) => {
                let cell = self.named(&name)?;
                self.look_at(kernel, cell);
                self.container_answer(cell, now).map(Some)
            }
            Request::Logs { name, cursor } => {
                let cell = self.named(&name)?;
                let reader = self.sessions[index].key();
                let container = self.container(cell)?;
                if container.attached == Some(reader) {
                    container.log.note_read(cursor);
                }
                self.look_at(kernel, cell);
                self.logs(cell, cursor).map(Some)
            }
            Request::Events { cursor } => {
                let Page { records, next, lost } = self.events.page(cursor);
                Ok(Some(Answer::Events { records, next, lost }))
            }
            Request::Audit { cursor } => Ok(Some(Answer::Audit(self.audit.page(now, cursor).into()))),
            Request::ChangeKeys { token } => self.change_keys(kernel, index, &token),
            Request::Channels => Ok(Some(Answer::Channels(self.channel_reports()))),
            Request::Schedule => {
                self.refresh_table();
                self.schedule_answer().map(Some)
            }
            Request::DryRun(request) => self.announce(kernel, index, request, Purpose::DryRun),
            Request::Timing(name) => {
                let cell = self.named(&name)?;
                self.look_at(kernel, cell);
                self.timing_answer(cell).map(Some)
            }
            Request::Update { deploy, probation_ns } => {
                let refused = self.begin_update(kernel, index, deploy, probation_ns);
                if refused.is_err() {
                    self.counters.count(Counter::UploadsRefused);
                }
                refused
            }
        }
    }

    fn named(&self, name: &str) -> Result<usize, Failure> {
        self.find(name).ok_or_else(|| Failure::no_such_container(name))
    }

    /// Brings what is known of a cell up to date whose domain starts anew right after it: takes all output that there is,
    /// whoever is awaited.
    fn look_for_the_last_time<K: Kernel>(&mut self, kernel: &mut K, cell: usize) {
        let awaited = self.container(cell).ok().and_then(|container| container.log.wait_for(None));
        self.look_at(kernel, cell);
        if let Ok(container) = self.container(cell) {
            container.log.wait_for(awaited);
        }
    }

    fn port(&mut self, cell: usize) -> Result<&mut CellPort<M>, Failure> {
        self.cells.get_mut(cell).and_then(Option::as_mut).ok_or_else(|| Failure::internal("the cell is gone"))
    }

    pub(crate) fn container(&mut self, cell: usize) -> Result<&mut Container, Failure> {
        self.port(cell)?.container.as_mut().ok_or_else(|| Failure::internal("the container is gone"))
    }

    pub(crate) fn container_in(&self, cell: usize) -> Result<&Container, Failure> {
        let container = self.cells.get(cell).and_then(Option::as_ref).and_then(|port| port.container.as_ref());
        container.ok_or_else(|| Failure::internal("the container is gone"))
    }

    pub(crate) fn policy(&self) -> Result<&Policy, Failure> {
        self.policy.as_ref().map_err(Failure::internal)
    }

    /// The largest module: what the board allows, as far as the cells' regions have room.
    pub(crate) fn module_limit_bytes(&self, policy: &Policy) -> u32 {
        let room = self.cells.iter().flatten().map(CellPort::module_room_bytes).min().unwrap_or(0);
        policy.limits.module_limit_bytes.min(room)
    }

    // Uploads.

    fn announce<K: Kernel>(
        &mut self,
        kernel: &mut K,
        index: usize,
        request: DeployRequest,
        purpose: Purpose,
    ) -> Served {
        let served = self.deploy(kernel, index, request, purpose);
        if served.is_err() {
            self.counters.count(Counter::UploadsRefused);
        }
        served
    }

    fn deploy<K: Kernel>(&mut self, kernel: &mut K, index: usize, request: DeployRequest, purpose: Purpose) -> Served {
        self.check_announcement(index, &request)?;
        let rights = self.policy()?.resolve(&request.grants)?;
        if self.find(&request.name).is_some() {
            return Err(Failure::new(ErrorCode::NameTaken, format!("there is a container `{}`", request.name)));
        }
        self.reserve(kernel, index, request, rights, purpose)
    }

    /// Whether such an upload may be announced in that session.
    pub(crate) fn check_announcement(&self, index: usize, request: &DeployRequest) -> Result<(), Failure> {
        let policy = self.policy()?;
        if self.sessions[index].upload.is_some() {
            return Err(Failure::protocol("this session has an upload under way"));
        }
        validation::check_name(&request.name)?;
        validation::check_arguments(request)?;
        validation::check_size(request.size, self.module_limit_bytes(policy))?;
        self.trust.as_ref().map(|_| ()).map_err(Failure::internal)
    }

    /// Gives the upload a cell.
    pub(crate) fn reserve<K: Kernel>(
        &mut self,
        kernel: &mut K,
        index: usize,
        request: DeployRequest,
        rights: Rights,
        purpose: Purpose,
    ) -> Served {
        rights.check_module(request.size)?;
        self.refresh_table();
        let Some(cell) = (0..self.cells.len()).find(|cell| self.is_free(*cell)) else {
            let cells = self.cells.iter().flatten().count();
            return Err(Failure::new(
                ErrorCode::NoFreeCell,
                format!("all {cells} cells are taken; remove a container"),
            ));
        };
        self.last_serial += 1;
        let text = format!("an upload of {} bytes begins", request.size);
        let mut container = Container::new(self.last_serial, request, rights, &self.sessions[index], kernel.now());
        match purpose {
            Purpose::Deploy => {}
            Purpose::Update(replaces) => container.replaces = Some(replaces),
            Purpose::DryRun => container.is_dry_run = true,
        }
        container.used_before = self.counted(cell);
        self.port(cell)?.container = Some(container);
        self.sessions[index].upload = Some(cell);
        if purpose != Purpose::DryRun {
            self.note(cell, kernel.now(), "deployed", text);
        }
        Ok(Some(Answer::Ready { credit: CHUNK_CREDIT }))
    }

    fn chunk<K: Kernel>(&mut self, kernel: &mut K, index: usize, sequence: u32, bytes: &[u8]) -> Served {
        let cell = self.sessions[index].upload.ok_or_else(no_upload)?;
        match self.take_chunk(cell, sequence, bytes) {
            Ok(received) => Ok(Some(Answer::Acknowledged { sequence, received })),
            Err(failure) => {
                self.abandon_upload(kernel, index, cell);
                Err(failure)
            }
        }
    }

    fn take_chunk(&mut self, cell: usize, sequence: u32, bytes: &[u8]) -> Result<u32, Failure> {
        let size = self.container(cell)?.request.size;
        let port = self.port(cell)?;
        let upload = port.container.as_mut().and_then(|container| container.upload.as_mut()).ok_or_else(no_upload)?;
        if sequence != upload.next_sequence {
            let detail =
                format!("chunk {sequence} came where {} was due; the upload is abandoned", upload.next_sequence);
            return Err(Failure::protocol(detail));
        }
        if bytes.is_empty() || bytes.len() > CHUNK_BYTES {
            let detail = format!("chunk {sequence} has {} bytes; 1 to {CHUNK_BYTES}", bytes.len());
            return Err(Failure::protocol(detail));
        }
        let position = upload.received;
        let received = u32::try_from(bytes.len()).ok().and_then(|length| position.checked_add(length));
        let Some(received) = received.filter(|received| *received <= size) else {
            let detail = format!("more bytes than the {size} that were announced");
            return Err(Failure::new(ErrorCode::DamagedUpload, detail));
        };
        upload.hasher.update(bytes);
        upload.received = received;
        upload.next_sequence += 1;
        port.stage(position, bytes).map_err(|_| Failure::internal("the cell's region has no room for the module"))?;
        Ok(received)
    }

    fn abandon_upload<K: Kernel>(&mut self, kernel: &mut K, index: usize, cell: usize) {
        self.counters.count(Counter::UploadsAbandoned);
        self.sessions[index].upload = None;
        self.remove_container(kernel, cell);
    }

    fn commit<K: Kernel>(&mut self, kernel: &mut K, index: usize, number: u32) -> Served {
        let cell = self.sessions[index].upload.ok_or_else(no_upload)?;
        self.check_may_wait(index)?;
        if let Err(failure) = self.check_whole(cell) {
            self.abandon_upload(kernel, index, cell);
            return Err(failure);
        }
        self.sessions[index].upload = None;
        if self.container(cell)?.is_dry_run {
            let answer = self.check(kernel, cell).and_then(|_| self.dry_run_answer(cell));
            self.remove_container(kernel, cell);
            return answer.map(Some);
        }
        let loaded = self.check_and_load(kernel, cell).and_then(|(generation, start)| {
            let wish = self.begin_succession(kernel, cell)?.unwrap_or(Wish::Deployed { start });
            Ok((generation, wish))
        });
        match loaded {
            Ok((generation, wish)) => {
                self.record_upload(kernel.now(), cell);
                self.wait(index, number, cell, generation, wish)
            }
            Err(failure) => {
                self.counters.count(Counter::ModulesRefused);
                self.remove_container(kernel, cell);
                Err(failure)
            }
        }
    }

    fn check_whole(&mut self, cell: usize) -> Result<(), Failure> {
        let container = self.container(cell)?;
        let Upload { received, hasher, .. } = container.upload.take().ok_or_else(no_upload)?;
        let damaged = |detail| Err(Failure::new(ErrorCode::DamagedUpload, detail));
        let size = container.request.size;
        if received != size {
            return damaged(format!("{received} of the {size} bytes that were announced arrived"));
        }
        if hasher.finalize().as_slice() != container.request.sha256 {
            return damaged(format!("the {size} bytes that arrived have another SHA-256 than was announced"));
        }
        Ok(())
    }

    fn check_and_load<K: Kernel>(&mut self, kernel: &mut K, cell: usize) -> Result<(u32, bool), Failure> {
        let signatures = self.check(kernel, cell)?;
        let container = self.container(cell)?;
        let start = container.request.start && container.replaces.is_none();
        self.bind_channels(kernel, cell)?;
        if let Some(signatures) = &signatures {
            self.trust()?.accept(signatures)?;
        }
        Ok((self.load(kernel, cell, start)?, start))
    }

    /// Looks over what was uploaded and puts what it declares and may into the container. Nobody else is asked or told.
    fn check<K: Kernel>(&mut self, kernel: &mut K, cell: usize) -> Result<Option<Signatures>, Failure> {
        let mut limits = self.policy()?.limits;
        let size = self.container(cell)?.request.size;
        let wasm = self.port(cell)?.copy_module(size).map_err(|error| match error {
            CopyError::NoMemory => Failure::new(ErrorCode::Busy, "there is no memory to look the module over"),
            CopyError::OutOfRange => Failure::internal("the module does not lie in the cell's region"),
        })?;
        // Before anything of it is looked at more closely: whoever may not deploy has nothing parsed.
        let (signed, signatures) = match self.verify(&wasm, kernel.now())? {
            Some(Verdict { declared, signatures, .. }) => {
                self.hold_to_signatures(cell, &declared, &signatures)?;
                (Some(declared), Some(signatures))
            }
            None => (None, None),
        };
        let rights = &self.container_in(cell)?.rights;
        rights.check_module(size)?;
        limits.memory_limit_bytes = rights.memory_limit_bytes(limits.memory_limit_bytes);
        let world = inspection::inspect(&wasm, &limits)?;
        // What was signed was read where it was verified.
        let manifest = if signed.is_some() { signed } else { declaration::manifest(&wasm)? };
        drop(wasm);
        let (declaration, ends) = declaration::read(manifest, world, &limits)?;
        self.policy()?.check_endpoints(&declaration.endpoints)?;
        let rights = self.policy()?.with_channels(&self.container_in(cell)?.rights, &ends)?;
        let container = self.container(cell)?;
        (container.declaration, container.ends, container.rights) = (declaration, ends, rights);
        Ok(signatures)
    }

    /// What would become of an upload that was looked over: the same tests as of one that is deployed, and nothing of it is left.
    /// Whether its cell can compile it only the cell can say.
    fn dry_run_answer(&mut self, cell: usize) -> Result<Answer, Failure> {
        self.check_channels(cell)?;
        self.find_place(cell)?;
        let container = self.container_in(cell)?;
        let has_schedule = container.declaration.plan.class != 0;
        Ok(Answer::Admitted(Box::new(AdmissionReport {
            name: container.name().into(),
            version: container.declaration.version.clone(),
            rights: container.rights.texts.clone(),
            signers: container.signed.as_ref().map(trust::signers).unwrap_or_default(),
            schedule: has_schedule.then(|| self.schedule_table(Some(cell))).transpose()?,
        })))
    }

    /// Has the warden load what is staged, and answers the load's generation.
    pub(crate) fn load<K: Kernel>(&mut self, kernel: &mut K, cell: usize, run: bool) -> Result<u32, Failure> {
        self.container_in(cell)?.check_believed()?;
        self.find_place(cell)?;
        let labels = self.policy()?.labels();
        let identity = self.identity();
        let container = self.container(cell)?;
        // What a container has no right to know, its cell is not told.
        let identity = if container.rights.set.node() { identity } else { NodeIdentity::default() };
        let module_bytes = container.request.size;
        let plan = container.declaration.plan;
        let memory_limit_bytes = container.rights.memory_limit_bytes(plan.memory_limit_bytes);
        let request = LoadRequest {
            grants: container.rights.grants,
            plan: Plan { memory_limit_bytes, ..plan },
            rates: container.rights.rates,
        };
        let configuration =
            container.configuration(identity, labels, seed(kernel.now().nanoseconds(), container.serial));
        let too_long = || Failure::new(ErrorCode::TooManyArguments, "the configuration has no room before the module");
        let configuration_bytes = self.port(cell)?.configure(&configuration).ok_or_else(too_long)?;
        self.write_request(cell, &request)?;
        // What the last load wrote is still in the ring, and the ring starts anew with the domain.
        self.look_for_the_last_time(kernel, cell);
        let words = [cell as u64, configuration_bytes.into(), module_bytes.into(), run.into()];
        let answer = self.call_warden(kernel, Message { label: Procedure::Load.to_wire().into(), words });
        let generation = match WardenStatus::of(&answer) {
            WardenStatus::Ok => u32::try_from(answer.words[0]).map_err(|_| Failure::internal("the warden's answer"))?,
            WardenStatus::WrongState => {
                return Err(self.refused(ErrorCode::Busy, "load", WardenStatus::WrongState));
            }
            status => return Err(self.refused(ErrorCode::Internal, "load", status)),
        };
        self.refresh_table();
        self.container(cell)?.loaded(generation);
        Ok(generation)
    }

    fn write_request(&mut self, cell: usize, request: &LoadRequest) -> Result<(), Failure> {
        let missing = || Failure::internal("the region of requests is too small");
        let offset = grant_offset_bytes(cell).ok_or_else(missing)?;
        self.requests.write_value(offset, request).map_err(|_| missing())
    }

    fn refused(&mut self, code: ErrorCode, verb: &str, status: WardenStatus) -> Failure {
        self.counters.count(Counter::WardenRefusals);
        Failure::new(code, format!("the warden refused to {verb}: {status}"))
    }

    // The verbs of a container's life.

    fn start_container<K: Kernel>(&mut self, kernel: &mut K, index: usize, number: u32, name: &str) -> Served {
        let cell = self.named(name)?;
        self.look_at(kernel, cell);
        self.check_may_wait(index)?;
        self.container_in(cell)?.check_believed()?;
        let generation = match self.state(cell) {
            ContainerState::Installed => {
                self.ask_warden(kernel, Procedure::Run, cell)
                    .map_err(|status| self.refused(ErrorCode::WrongState, "run", status))?;
                self.container(cell)?.generation()
            }
            state if state.is_final() => self.load(kernel, cell, true)?,
            state => return Err(wrong_state(name, state, "only an installed or ended container can be started")),
        };
        self.wait(index, number, cell, generation, Wish::Started)
    }

    fn stop_container<K: Kernel>(&mut self, kernel: &mut K, index: usize, number: u32, name: &str) -> Served {
        self.stop(kernel, index, number, name, Wish::Ended)
    }

    fn restart_container<K: Kernel>(&mut self, kernel: &mut K, index: usize, number: u32, name: &str) -> Served {
        self.stop(kernel, index, number, name, Wish::EndedToStart)
    }

    /// Asks it to stop where it has not ended, and waits. An end that was reached before is taken up in the same round.
    fn stop<K: Kernel>(&mut self, kernel: &mut K, index: usize, number: u32, name: &str, wish: Wish) -> Served {
        let cell = self.named(name)?;
        self.look_at(kernel, cell);
        self.check_may_wait(index)?;
        let state = self.state(cell);
        if state == ContainerState::Provisioned {
            return Err(wrong_state(name, state, "its upload is not done"));
        }
        if !state.is_final() || self.table.cells[cell].next_start_ns != 0 {
            // Refused where it ended or faulted in this moment: then the wait is over at once.
            let _ = self.ask_warden(kernel, Procedure::Stop, cell);
        }
        let generation = self.container(cell)?.generation();
        self.wait(index, number, cell, generation, wish)
    }

    fn kill_container<K: Kernel>(&mut self, kernel: &mut K, name: &str) -> Served {
        let cell = self.named(name)?;
        // Output that waits in the ring goes with the domain: it is taken now.
        self.look_for_the_last_time(kernel, cell);
        let state = self.state(cell);
        if state == ContainerState::Provisioned {
            return Err(wrong_state(name, state, "its upload is not done"));
        }
        if !state.is_final() || self.table.cells[cell].next_start_ns != 0 {
            // Refused where it ended or faulted in this moment, which is what was wanted.
            let _ = self.ask_warden(kernel, Procedure::Kill, cell);
            self.look_at(kernel, cell);
        }
        self.container_answer(cell, kernel.now()).map(Some)
    }

    fn remove_named<K: Kernel>(&mut self, kernel: &mut K, name: &str) -> Served {
        let cell = self.named(name)?;
        self.look_at(kernel, cell);
        match self.state(cell) {
            ContainerState::Installed | ContainerState::Finalised | ContainerState::Failed => {
                self.remove_container(kernel, cell);
                Ok(Some(Answer::Done))
            }
            ContainerState::Provisioned => {
                Err(wrong_state(name, ContainerState::Provisioned, "its upload is not done"))
            }
            state => Err(wrong_state(name, state, "stop or kill it first")),
        }
    }

    /// Leaves nothing of a container behind: its cell is started clean, its bytes are zeroed, its log is dropped.
    pub(crate) fn remove_container<K: Kernel>(&mut self, kernel: &mut K, cell: usize) {
        let Some(port) = self.cells.get_mut(cell).and_then(Option::as_mut) else { return };
        let Some(container) = port.container.take() else { return };
        let event = Event {
            time_ns: kernel.now().nanoseconds(),
            generation: container.generation(),
            event: "removed",
            text: String::new(),
        };
        if !container.is_dry_run {
            self.events.push(container.name(), cell, event);
        }
        // Output that nobody will read any more; left in the ring, it would look like the next container's.
        port.look(kernel.now(), &mut self.counters);
        // What was only looked over has bound nothing.
        let has_ends = !container.ends.is_empty() && !container.is_dry_run;
        let holds_nothing = container.generation() == 0 && !has_ends;
        let released = holds_nothing || self.ask_warden(kernel, Procedure::Release, cell).is_ok();
        if !released {
            self.counters.count(Counter::WardenRefusals);
        }
        // Zeros ask for nothing.
        let _ = self.write_request(cell, &LoadRequest::default());
        if let Some(port) = self.cells[cell].as_mut() {
            port.lost |= !released;
            match &container.upload {
                // What was only announced costs nothing to forget.
                Some(upload) => port.scrub_module(upload.received),
                None => port.scrub(container.request.size),
            }
        }
        if has_ends {
            self.tidy_channels(kernel);
        }
    }

    /// Why nothing can be asked of the warden: it does not come round, as the timer sees. A call would wait for ever.
    fn warden_stands_still(&self, now: Instant) -> Option<Failure> {
        let since_ns: u64 = self.timer_status.try_read_part(offset_of!(TimerStatus, warden_still_since_ns))?;
        let seconds = now.nanoseconds_since(Instant::from_nanoseconds(since_ns)) / 1_000_000_000;
        (since_ns != 0).then(|| {
            Failure::internal(format!(
                "the warden stands still, for {seconds} s by now: nothing can be deployed, started, stopped or removed until the \
                 node is started anew. What runs goes on under the kernel's budgets, and nobody watches it"
            ))
        })
    }

    /// A call of the warden; as of one that is gone, where it stands still.
    pub(crate) fn call_warden<K: Kernel>(&mut self, kernel: &mut K, message: Message) -> Message {
        if self.warden_stands_still(kernel.now()).is_some() {
            return Message::new(CALL_FAILED);
        }
        kernel.call(self.warden, message)
    }

    fn ask_warden<K: Kernel>(&mut self, kernel: &mut K, procedure: Procedure, cell: usize) -> Result<(), WardenStatus> {
        let answer = self.call_warden(kernel, warden::call(procedure, cell));
        self.refresh_table();
        match WardenStatus::of(&answer) {
            WardenStatus::Ok => Ok(()),
            status => Err(status),
        }
    }

    /// Ends a container that must not run on: by its stop hook where there is one, within the usual limit, for which the warden
    /// stands.
    pub(crate) fn end_for_sure<K: Kernel>(&mut self, kernel: &mut K, cell: usize, how: Procedure) {
        // Refused where it ended or faulted in this moment; what is left then, if anything, goes at once.
        let ended = self.ask_warden(kernel, how, cell).or_else(|_| self.ask_warden(kernel, Procedure::Kill, cell));
        if ended.is_err() && !self.state(cell).is_final() {
            self.counters.count(Counter::WardenRefusals);
        }
        self.look_at(kernel, cell);
    }

    fn check_may_wait(&self, index: usize) -> Result<(), Failure> {
        if self.may_wait(self.sessions[index].key()) {
            return Ok(());
        }
        Err(Failure::new(ErrorCode::Busy, "too many of this session's requests are waiting already"))
    }

    fn wait(&mut self, index: usize, number: u32, cell: usize, generation: u32, wish: Wish) -> Served {
        let session = Some(self.sessions[index].key());
        let serial = self.container(cell)?.serial;
        self.pending.push(Pending { session, number, serial, generation, wish });
        Ok(None)
    }
}

fn no_upload() -> Failure {
    Failure::protocol("this session has no upload under way")
}

fn wrong_state(name: &str, state: ContainerState, advice: &str) -> Failure {
    Failure::new(ErrorCode::WrongState, format!("the container `{name}` is {state}; {advice}"))
}

/// A number that differs from load to load, from the node's counter: SplitMix64's finaliser (Steele, Lea, Flood 2014). Not a
/// secret.
fn seed(now_ns: u64, serial: u64) -> u64 {
    let mut mixed = now_ns ^ serial.rotate_left(32);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Whether it cannot be served without the warden.
fn takes_the_warden(request: &Request) -> bool {
    matches!(
        request,
        Request::Deploy(_)
            | Request::Update { .. }
            | Request::Commit
            | Request::Start(_)
            | Request::Stop(_)
            | Request::Restart(_)
            | Request::Kill(_)
            | Request::Remove(_)
    )
}
