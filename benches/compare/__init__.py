# SPDX-License-Identifier: Apache-2.0
"""What scripts/compare is made of.

    tables    the rows and the competitors: add one there
    builds    makes the competitors' programs
    session   runs them in turn
    figures   medians, ratios, spreads
    report    text, Markdown, JSON
    cli       the command line
"""
