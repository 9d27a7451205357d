"""Firmware campaigns: an approved image to many meters, in waves, in their nights, within what their networks bear.

    hes.commands, hes.command-decisions ─┐                            ┌─▶ hes.jobs.bulk (transfers), hes.jobs.urgent (pings)
    hes.operators, hes.controls ─────────┼─▶ desk ─▶ books ───────────┼─▶ hes.command-acks
    hes.events.urgent (results) ─────────┤    ▲                       ├─▶ hes.audit (the chain `firmware`)
    hes.meters, hes.images ──────────────┘    └── read back at the ◀──┼─▶ hes.campaigns (the books)
                                                  start               └─▶ hes.campaign-stops (to gateways)

`states` holds the two tables, of a campaign and of each of its meters; `campaign` is one in memory, `lanes` says who is next
in each segment, `budgets` what its hours still bear, `windows` when it is night there, `gates` when the next wave may begin
or all must end (`bounds`: how sure one can be), `conductor` sends, `desk` is where records come in. All of these are pure:
time and records are handed in. `plan` tells beforehand how long it will take, by the same rules. `office` and `service` are
Kafka; the books are those of `streams.runtime.books`: what is caused and where it stands is one transaction of the one
process that opened them last.

A campaign is a signed request like any other command: its terms are the request's parameters
(`streams.runtime.authority.terms`), and each job carries the request, the decisions and the meter's way to the root that
they name. The way back is a campaign too: to the earlier image, with `downgrade` in its terms.
"""
