"""What a head-end does with single objects of a meter, beyond clock, registers and profiles (`client`): sessions over an
open association, one file an interface class (IEC 62056-6-2).

A session here reads into frozen values and writes from them. It decides nothing about who may do what: a disconnection, a
new key, an image are primitives that whoever drives them authorises first. What the meter refuses is a `PeerError` with
the next step; where it is left open whether the meter did what was asked, the result says so by name.
"""
