"""`hes firmware`: images and campaigns from this side. What counts is decided by streams/firmware and the gateways; here it
is asked, signed and shown.

    vendor     the manufacturer's signature over a file
    images     images as hes.images has them, added and removed
    wish       whom a campaign is for, and its terms, from options
    planning   what it would be, by the planner of streams/firmware; nothing is sent
    proposing  its request, signed and written
    deciding   a decision on it: what is decided on is verified here first
    standing   campaigns as hes.campaigns has them
    progress   how far one is, and when it ends
    board      the same on the terminal; `view` follows it
    picture    what a chart shows of it; `chart` draws it, `svg` are the shapes
"""
