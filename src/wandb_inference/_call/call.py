"""What is decided in one call, from the choice of a model to the record of what it came to."""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from wandb_inference._call.asking import Asking
from wandb_inference._call.core import Core
from wandb_inference._call.late import LATE
from wandb_inference._call.timeline import Timeline
from wandb_inference._exchange import HttpRequest, Place, Progress, Steps, exchange
from wandb_inference._observers import OBSERVERS
from wandb_inference._schema_tool import SchemaTool
from wandb_inference._wire import decode_body
from wandb_inference.accounting import (
    Attempt,
    Budget,
    CallRecord,
    Estimate,
    Failure,
    Labels,
    Reservation,
    Status,
    current_labels,
    price,
)
from wandb_inference.catalog import estimate_of
from wandb_inference.chat import ChatRequest, Completion, EmptyAnswerWarning, StreamEnd, Usage
from wandb_inference.errors import (
    ContextLengthError,
    InferenceError,
    MalformedResponseError,
    QueueTimeoutError,
    StatusError,
    TimedOutError,
    TransportError,
)
from wandb_inference.routing import (
    AUTO,
    Candidate,
    Entry,
    Need,
    Plan,
    Policy,
    conversation_of,
    fault_of,
    plan,
    resolve,
    served,
    shortcoming,
)

_GATEWAYS = (408, 504)  # gave up waiting for an answer that may have been made, and billed
_PATIENCE = 10.0  # seconds; a caller who waits less has learnt nothing of the model's health


class Call(Progress):
    """One call and its attempts.

    Args:
        core: of the client.
        request: the call.
        policy: instead of the client's.
        budget: instead of the client's.
        labels: over those of the blocks around.
        stream: whether the answer is to be streamed.

    Its methods raise what is wrong with its form.
    """

    def __init__(
        self,
        core: Core,
        request: ChatRequest,
        policy: Policy | None = None,
        budget: Budget | None = None,
        *,
        labels: Labels | None = None,
        stream: bool = False,
    ) -> None:
        self._core, self._stream = core, stream
        self._labels = current_labels() if labels is None else labels.over(current_labels())
        self.requested = request.model if isinstance(request.model, str) else AUTO
        self._request, self._policy = request, policy or core.policy
        self._refused: InferenceError | None = None
        try:
            self._request, self._policy = resolve(request, self._policy)
        except InferenceError as e:
            self._refused = e  # raised where calls are recorded
        self._budget = core.budget if budget is None else budget
        self._plan: Plan | None = None
        self._attempts: list[Attempt] = []
        self._out: set[int] = set()  # places of candidates that failed, or that cannot do better than those
        self._best: Completion | None = None  # that was not enough, but may be all there is
        self._following: Plan | None = None  # made to see whether there is another candidate
        self._conversation: tuple[str, tuple[str, int] | None] | None = None
        self._attempt: Asking | None = None
        self._place: Place | None = None
        self._begun = OBSERVERS.begin()
        self._times = Timeline()
        self._so_far: Callable[[], Completion | None] = _nothing
        self._open = [None]  # popped by whoever tells the end, be it the garbage collector

    @property
    def _named(self) -> bool:
        """Whether the call goes to the model it names, and nowhere else."""
        return not self._policy.listed and self._request.model != AUTO

    def plan(self) -> Plan:
        """Return who would take the call now. Raises nothing that the plan can tell."""
        self._check()
        policy, core = self._policy, self._core
        pinned = None
        if policy.sticky and not self._named:
            if self._conversation is None:
                key = conversation_of(self._request)
                self._conversation = key, core.service.health.conversation(key)
            pinned = self._conversation[1]
        made = plan(
            self._request,
            core.catalog,
            policy,
            core.service.health.view(time.monotonic()),
            self._budget.available if self._budget is not None else None,
            pinned=pinned,
            tokens=core.estimator.adjusted,
            named=self._named,
            tried=self._out,
        )
        return replace(made, requested=self.requested)

    def _next(self) -> Candidate:
        """Return who is asked now.

        Raises:
            NoCandidateError: nobody may take the call.
        """
        self._check()
        if self._named and not self._is_bound:
            entry, card = served(Entry(self._request.model), self._core.catalog, self._policy)
            return Candidate(entry, card, Estimate(None, None, None))
        made, self._following = self._following or self.plan(), None
        if self._plan is None:
            self._plan = made
        if self._budget is not None and not made.order:
            poor = [c for c in made.candidates if {rejection.code for rejection in c.rejected} == {"budget"}]
            if poor:  # to be refused by the budget itself, which says what is left
                return min(poor, key=lambda candidate: (candidate.cost.worst or 0, candidate.model))
        made.check()
        return made.order[0]

    def _check(self) -> None:
        if self._refused is not None:
            raise self._refused

    @property
    def _is_bound(self) -> bool:
        policy = self._policy
        return bool(self._budget is not None or policy.deny) or any(
            ceiling is not None for ceiling in (policy.max_cost, policy.max_input_price, policy.max_output_price)
        )

    def prepare(self) -> HttpRequest:
        """Return what would be sent first."""
        return self._asking().prepared

    def _asking(self) -> Asking:
        candidate = self._next()
        measured = self._plan.need.measured if self._plan is not None else None
        return Asking(self._core, self._request, candidate, measured, stream=self._stream)

    def steps(self) -> Steps[Any]:
        """Yield the steps of the call; return its ``Completion``, or the open stream.

        Raises:
            InferenceError: as ``Client.chat`` and ``Client.stream`` say.
        """
        if self._core.on_record is not None or OBSERVERS:
            LATE.expect(self)
        try:
            return (yield from self._answered())
        except InferenceError as e:
            record = self._recorded("error", error=e)
            if record.attempts:
                e.route = record.route
            raise
        except Exception as e:
            self._recorded("error", error=e)
            raise
        except GeneratorExit:  # the garbage collector ends a coroutine that nobody awaits
            self._recorded("cancelled", loudly=False)
            raise
        except BaseException:
            self._recorded("cancelled")
            raise

    def _answered(self) -> Steps[Any]:
        while True:
            attempt = self._attempt = self._asking()
            try:
                outcome = yield from self._exchanged(attempt)
                if self._stream:
                    return outcome
                completion = decode_body(outcome.content, model=attempt.request.model, headers=outcome.headers)
            except InferenceError as e:
                attempt.told(e)
                if self._goes_on_after(e, attempt):
                    continue
                if self._best is not None:
                    return replace(self._best, route=self._recorded("ok", self._best).route)
                raise
            except BaseException as e:
                attempt.settle(None)
                if attempt.sent:
                    self._note(attempt, type(e).__name__ if isinstance(e, Exception) else "cancelled")
                raise
            if attempt.schema_tool is not None:
                completion = attempt.schema_tool.completion(completion)
            lacking = shortcoming(completion, attempt.request) if self._policy.escalate else None
            escalates = lacking in self._policy.escalate
            self._succeeded(attempt, completion, outcome=str(lacking) if escalates else "ok")
            if escalates and self._has_another(attempt):
                self._best = completion
                continue
            _warn_if_empty(completion, attempt)
            return replace(completion, route=self._recorded("ok", completion).route)

    def _exchanged(self, attempt: Asking) -> Steps[Any]:
        core = self._core
        if core.on_request is not None:
            core.on_request(attempt.prepared)
        self.funds = attempt.funds(self._budget)
        self.places = core.service.places(attempt.model, core.max_concurrency)
        self._times.is_ready()
        core.service.health.probe(attempt.model, time.monotonic())
        return exchange(
            attempt.prepared,
            model=attempt.request.model,
            retry=attempt.retry,
            clock=time.time,
            chance=random.random,
            progress=self,
        )

    def reserved(self, reservation: Reservation) -> None:
        """Keep what is set aside for a try."""
        self._asked.reserved(reservation)

    def unsent(self) -> None:
        """Give it back."""
        self._asked.settle(Decimal(0))

    def sent(self) -> None:
        """Take the time."""
        self._times.is_sent()
        self._asked.sent = True

    def failed(self, error: InferenceError) -> None:
        """Book what a try may have cost that failed after it was sent."""
        worked = isinstance(error, TransportError) and error.sent
        worked = worked or isinstance(error, MalformedResponseError) or getattr(error, "status_code", 0) in _GATEWAYS
        self._asked.settle(None if worked else Decimal(0))
        self._times.is_ready()

    def pauses(self, seconds: float) -> None:
        """Tell the pause from the wait for a place."""
        self._times.pauses(seconds)

    def opened(self, place: Place) -> None:
        """Keep the place of an open stream."""
        self._place = place
        place.rests()
        self._asked.opened(place)

    def rests(self) -> None:
        """Have the place of a stream lent on if its reader does not come back soon."""
        if self._place is not None:
            self._place.rests()

    def resumes(self) -> None:
        """Have it count again."""
        if self._place is not None:
            self._place.resumes()

    def reads(self, so_far: Callable[[], Completion | None]) -> None:
        """Learn how to ask what has arrived of a stream."""
        self._so_far = so_far

    def began(self) -> None:
        """Take the time of a stream's first event."""
        self._times.has_begun()

    def ended(self, end: StreamEnd) -> StreamEnd:
        """Book the whole answer; return its end with what the call came to."""
        self._succeeded(self._asked, end)
        if end.finish_reason == "length":
            _warn_if_empty(self._so_far(), self._asked)
        return replace(end, route=self._recorded("ok").route)

    def broke(self, error: InferenceError) -> None:
        """Book a stream that failed on the way, and put its error right."""
        attempt = self._asked
        attempt.told(error)
        attempt.settle(None)
        if self._is_last():
            if self._tells_of_health(error):
                self._core.service.health.failed(attempt.model, time.monotonic())
            self._note(attempt, type(error).__name__, **self._arrived_usage(attempt))
            error.route = self._recorded("error" if error.partial is None else "partial", error=error).route

    def closed(self, *, by_reader: bool) -> None:
        """Give the place of a stream back; one that was not read to its end is booked at its worst case.

        Never waits, and has those who may wait told later, unless its reader closed it: destructors call it, too.
        """
        if self._place is not None:
            self._place.release()
        self._asked.settle(None)
        self.given_up(loudly=by_reader)

    def given_up(self, *, loudly: bool = True) -> None:
        """Tell of a call that nobody waits for any more, unless it has ended before."""
        if self._is_last():
            if self._attempt is not None and self._attempt.sent:
                self._note(self._attempt, "closed", **self._arrived_usage(self._attempt))
            self._recorded("cancelled", loudly=loudly)

    def _is_last(self) -> bool:
        """Whether this is the end of the stream, and not one that comes after."""
        try:
            self._open.pop()
        except IndexError:
            return False
        return True

    def _arrived_usage(self, attempt: Asking) -> dict[str, Any]:
        """Return the tokens of a stream that was cut, about, unless it said so itself."""
        arrived = self._so_far()
        if arrived is None or arrived.usage is not None:
            return {"usage": arrived.usage} if arrived is not None else {}
        prompt = self._core.estimator.adjusted(attempt.model, attempt.measured.estimate)
        texts = [choice.text + choice.reasoning for choice in arrived.choices]
        texts += [call.name + call.arguments for choice in arrived.choices for call in choice.tool_calls]
        return {
            "usage": Usage(input_tokens=prompt, output_tokens=estimate_of("".join(texts))),
            "usage_is_estimate": True,
        }

    @property
    def schema_tool(self) -> SchemaTool | None:
        """What turns the answer of the current attempt back."""
        return self._asked.schema_tool

    @property
    def model(self) -> str:
        """The model of the current attempt, as errors name it."""
        return self._asked.request.model

    @property
    def _asked(self) -> Asking:
        """The current attempt."""
        if self._attempt is None:
            raise RuntimeError("Nobody was asked yet.")
        return self._attempt

    def _goes_on_after(self, error: InferenceError, attempt: Asking) -> bool:
        """Take note of a failed attempt; return whether another model may do better."""
        attempt.settle(None)  # an answer that nobody can read; what failed otherwise is booked already
        if attempt.sent:
            self._note(attempt, type(error).__name__)
        fault = fault_of(error)
        if self._tells_of_health(error):
            retry_after, gone = error.retry_after if isinstance(error, StatusError) else None, fault == "model"
            self._core.service.health.failed(attempt.model, time.monotonic(), retry_after=retry_after, gone=gone)
        if fault == "window" and isinstance(error, ContextLengthError):
            self._leave_smaller_than(error.limit or (attempt.card.context_window if attempt.card else None))
        if fault == "request" or self._named or not self._has_another(attempt):
            before = [f"{past.model} ({past.outcome})" for past in self._attempts[:-1]]
            if before:
                error.hint = f"{error.hint} Asked before: {', '.join(before)}.".strip()
            return False
        return True

    def _tells_of_health(self, error: InferenceError) -> bool:
        """Whether an error tells of the model, and not of the request or of the caller's patience."""
        impatient = isinstance(error, TimedOutError) and self._times.since_sent < _PATIENCE
        return fault_of(error) in ("service", "model") and not impatient and not isinstance(error, QueueTimeoutError)

    def _leave_smaller_than(self, window: int | None) -> None:
        for candidate in self._plan.candidates if self._plan and window else ():
            known = candidate.card.context_window if candidate.card is not None else None
            if known is not None and window is not None and known <= window:
                self._out.add(candidate.position)

    def _has_another(self, attempt: Asking) -> bool:
        if self._named:
            return False
        self._out.add(attempt.position)
        self._following = self.plan()
        return bool(self._following.order)

    def _succeeded(self, attempt: Asking, answer: Completion | StreamEnd, *, outcome: str = "ok") -> None:
        core, usage = self._core, answer.usage
        cost = price(usage, attempt.card.price if attempt.card else None)
        attempt.settle(cost.total if cost else None)
        first = self._times.first_of_try
        core.service.health.succeeded(
            attempt.model, first_token=first, answer_tokens=usage.output_tokens if usage else None
        )
        if usage is not None:
            core.estimator.learn(attempt.measured, usage.input_tokens)
            self._remember(attempt, usage.input_tokens)
        self._note(attempt, outcome, usage=usage, cost=cost, first_event_seconds=first)

    def _remember(self, attempt: Asking, prompt_tokens: int) -> None:
        """Pin the conversation to its model, unless this turn only needed more than its model can do."""
        if self._conversation is None:
            return
        key, pinned = self._conversation
        away = pinned is not None and pinned[0] != attempt.model
        for candidate in self._plan.candidates if away and self._plan else ():
            if candidate.model == pinned[0] and candidate.rejected:  # type: ignore[index]  # away says there is one
                return
        self._core.service.health.converse(key, attempt.model, prompt_tokens)

    def _note(self, attempt: Asking, outcome: str, **facts: Any) -> None:
        seconds, booked = self._times.since_sent, attempt.booked
        self._attempts.append(Attempt(model=attempt.model, outcome=outcome, seconds=seconds, booked=booked, **facts))

    def _plain_plan(self) -> dict[str, Any]:
        """Return the plan of a call that went to the model it names, for which nothing had to be weighed."""
        chosen = self._attempts[-1].model if self._attempts else self._request.model
        return {"requested": self.requested, "policy": "named", "chosen": chosen, "order": [chosen]}

    def _recorded(
        self,
        status: Status,
        completion: Completion | None = None,
        *,
        error: BaseException | None = None,
        loudly: bool = True,
    ) -> CallRecord:
        """Return what the call came to, and tell those who want to know; nobody else does after that."""
        self._open.clear()
        core, attempt, times = self._core, self._attempt, self._times
        asked_for = core.on_record is not None
        record = CallRecord(
            requested=self.requested,
            attempts=tuple(self._attempts),
            plan=self._plan.to_dict() if self._plan is not None else self._plain_plan(),
            need=self._need() if self._plan is None and asked_for else None,
            status=status,
            failure=Failure.of(error) if error is not None else None,
            request=_snapshot(self._request),
            body=attempt.prepared.content if attempt is not None else None,
            completion=completion or (self._arrived() if asked_for or OBSERVERS else None),
            stream=self._stream,
            labels=self._labels,
            entry=core.entry,
            started=times.started,
            seconds=times.seconds,
            first_event_seconds=times.first_of_call,
            tries=times.tries,
            queued=times.queued,
            paused=times.paused,
            worst_case=attempt.worst if attempt is not None else None,
            budget_left=self._budget.available if self._budget is not None and loudly else None,
            base_url=core.base_url,
            catalog_version=core.catalog.version,
        )
        core.tell(record, self._begun, loudly=loudly, secrets=attempt.secrets if attempt is not None else ())
        return record

    def _need(self) -> Mapping[str, Any] | None:
        return Need.of(self._request).to_dict() if self._refused is None else None

    def _arrived(self) -> Completion | None:
        """Return what has arrived of a stream, as its caller sees it."""
        completion, tool = self._so_far(), self.schema_tool if self._attempt is not None else None
        return tool.completion(completion) if tool is not None and completion is not None else completion


def _snapshot(request: ChatRequest) -> ChatRequest:
    """Return the request with messages of its own: the caller's list may grow before anybody looks."""
    messages = request.messages
    return replace(request, messages=tuple(messages)) if isinstance(messages, list) else request


def _warn_if_empty(completion: Completion | None, attempt: Asking) -> None:
    if completion is None or "incomplete_details" not in completion.choices[0].extra:
        return
    usage, ceiling = completion.usage, attempt.request.options.max_tokens
    limit = f"max_tokens={ceiling}" if ceiling is not None else "the tokens that it may have"
    spent = f" ({usage.output_tokens})" if usage and ceiling is None else ""
    message = f"{attempt.model}: the answer is empty, because reasoning took all of {limit}{spent}."
    warnings.warn(f"{message} Raise max_tokens, or lower reasoning.", EmptyAnswerWarning, stacklevel=2)


def _nothing() -> None:
    """Nothing has arrived."""
