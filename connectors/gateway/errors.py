"""What the gateway itself may find wrong, on one page. The protocols' codes are in their own rooms."""

from __future__ import annotations

PUSH_CODES = {
    "meter-unknown": "nobody registered a meter with this identity; import it, then redrive",
    "identity-conflict": "two identities of one telegram belong to different meters, or one is not the meter's own",
    "push-unprotected": "a push in clear in the name of a meter that ciphers all it pushes",
    "telegram-empty": "a telegram with neither values nor alarms",
    "record-oversized": "what the telegram says is more than one Kafka record may hold",
    "avro-value": "what the telegram says does not fit the record's schema",
    "internal": "a bug in this release; the log has its traceback, the dead letter its bytes",
}
"""Codes of dead letters that come from a socket, with their meaning."""

ALARM_CODES = {
    "identity-conflict": "a telegram presented identities of different meters",
    "counter-replayed": "an invocation counter came again, or fell, with other content",
    "cipher-authentication": "a telegram or an answer in the meter's name does not authenticate",
    "push-unprotected": "a push in clear in the name of a meter that ciphers all it pushes",
    "peer-authentication": "whoever answers in the meter's place does not know its secret or keys",
    "peer-title": "whoever answers in the meter's place has another system title",
    "cipher-policy": "an answer in the meter's name is less protected than its template asks for",
    "cipher-counter": "an answer in the meter's name came again, or our counters for it are used up",
    "c1222-authentication": "a C12.22 message or answer in the meter's name does not authenticate",
    "c1222-replay": "a C12.22 message or answer in the meter's name came again, or another under the same numbers",
    "c1222-policy": "a C12.22 message or answer in the meter's name is less protected than its template asks for",
    "counter-backwards": "a meter says that it took fewer of our invocation counters than it has answered",
    "counter-implausible": "a meter says in clear that it took far more of our invocation counters than were used",
    "command-forged": "a job asks for a relay, or for a change of a meter, without the proofs that it needs",
    "clock-drift": "the meter's clock is further off than a command may set it; CLOCK",
    "clock-set-across": "the meter's clock was set across the end of an interval, as the command allowed; CLOCK",
    "keys-lost": "a meter has neither the keys that held nor those that were sent to it",
    "segment-unreachable": "many different meters of a segment in a row cannot be reached; it is tried with one at a time",
    "segment-reachable": "a meter of the segment answered again",
}
"""Codes of alarms that the gateway raises itself, in the code table `hes-gateway`; SECURITY, but for segments'."""

JOB_CODES = {
    "job-unsupported": "a record on a jobs topic that is no job, or names no meter",
    "job-unknown-meter": "a job for a meter that is not registered",
    "job-expired": "the job's deadline passed before it was done",
    "job-timeout": "the job had no deadline and took longer than job_timeout_s",
    "protocol-unsupported": "no driver of this gateway speaks the meter's protocol; nothing was sent to the meter",
    "operation-unsupported": "this gateway does not perform the operation; nothing was sent to the meter",
    "meter-no-endpoint": "the meter has no endpoint to connect to",
    "endpoint-unsupported": "the meter's endpoint is none that is known, or none for its protocol",
    "line-unproven": "a password would go to whoever dialled in and says it is the meter",
    "counter-unavailable": "no invocation counters could be reserved on hes.counters",
    "counter-implausible": "what the meter says of its invocation counter would use ours up",
    "object-not-settable": "the meter's template does not list the attribute under pull.settable; nothing was sent",
    "job-misplaced": "a command stands in another partition than its meter's, where nobody would know that it was done",
    "job-replayed": "the command has ended at this meter, by another record of a jobs topic; ask for it anew",
    "openings-capped": "as many supplies were cut in this minute as the policy allows, until the job's time was over",
    "intent-unavailable": "no intent could be kept on hes.intents, so nothing was sent",
    "controls-behind": "nobody could say in time whether the meter is frozen or held, so nothing was sent",
    "command-mode": "the relay's control mode does not know the command; nothing was sent",
    "command-too-late": "the worker was held up, or replaced, just before it sent the command; nothing was sent",
    "firmware-unfinished": "time or connection ended before the image was in the meter or activated; the next job goes on",
    "campaign-halted": "the campaign was paused or halted after the job was issued; blocks that the meter has stay there",
    "firmware-unfit": "the image is not for this meter or its version, or it does not tell its version; nothing was sent",
    "firmware-refused": "the meter takes no images, finds this one wrong, would activate another, or could not activate it",
    "firmware-silent": "the meter was told to activate the image and has not answered since: send somebody",
    "firmware-version": "the meter was told to activate the image and still reports another version",
    "image-missing": "no sound image of this digest is there yet, or some of its parts are missing: add it again",
    "image-invalid": "the image's octets are not those that its digest names: forged, or damaged; add it again",
    "outcome-unknown": "the command was sent, or may have been, and nobody can tell what came of it: look at the meter",
    "clock-drift": "the meter's clock is further off than the command may set it; nothing was sent",
    "template-missing": "the meter's template is not among those loaded",
    "object-invalid": "the job names an object that is none of its protocol, or the template names none",
    "time-zone-unknown": "the meter's time zone is no IANA name",
    "key-missing": "the template asks for a password or keys, and the key store has none for the meter that fit",
    "keys-changing": "an earlier change of the meter's keys is in doubt, or of other keys; nothing was sent",
    "keys-not-taken": "the new keys were sent, or may have been, and the meter has the keys that it had; ask for it anew",
    "keys-lost": "the meter has neither the keys that held nor those that were sent to it: somebody finds out which it has",
    "key-store-read-only": "keys cannot be changed where the key store is only read; nothing was sent to the meter",
    "key-store-failed": "the key store could not keep new keys, so none were sent",
    "key-shared": "two meters name one key reference; their invocation counters would be used twice",
    "title-shared": "the meter is registered under the system title that the gateway itself uses",
    "template-contradictory": "the meter's template asks for what cannot be together, such as signatures in suite 0",
    "connect-refused": "the endpoint refused the connection or cannot be reached",
    "connect-timeout": "the endpoint did not accept the connection in time",
    "connection-lost": "the meter closed the connection, or it broke",
    "answer-timeout": "the meter did not answer in time",
    "record-oversized": "what was read is more than one Kafka record may hold; ask for less",
    "internal": "a bug in this release; the log has its traceback",
}
"""Codes of job results and of dead letters for job records, with their meaning; a protocol's own codes come beside them."""


RECORD_CODES = {
    "record-unexpected": "a record of another kind than its topic holds",
    "key-mismatch": "a record of hes.meters under another key than its meter's id",
}
"""Codes of dead letters for records of hes.meters, beside the codec's avro-*, with their meaning."""


class JobError(Exception):
    """A job cannot be done: a code of `JOB_CODES` or of its meter's protocol, a sentence, and what follows from it.

    A driver makes it of what its protocol raises (`drivers.port.Driver.fault`).
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        retry: bool = False,
        alarm: bool = False,
        harmless: bool = False,
        gained: bool = False,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.retry = retry
        """Whether trying again can help."""
        self.alarm = alarm
        """Whether somebody else may be at the meter's place."""
        self.harmless = harmless
        """Whether the meter takes the next job on the same call all the same."""
        self.gained = gained
        """Whether this try has done what the next need not do again, so that it does not count as one in vain."""


class KeyStoreError(Exception):
    """The key store or its master key cannot be used; the sentence says why and what to do, and holds no key."""
