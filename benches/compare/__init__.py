# SPDX-License-Identifier: Apache-2.0
"""What scripts/compare is made of.

    tables    the rows and the competitors: add one there
    builds    makes the competitors' programs
    session   runs them in turn
    echo      the runs that need a server and a client
    uring     whether io_uring is there
    progress  how far the session is
    figures   medians, ratios, spreads
    report    text, Markdown, JSON
    html      the page with pictures
    baseline  what has changed since an earlier report
    cli       the command line, which __main__ starts
"""
