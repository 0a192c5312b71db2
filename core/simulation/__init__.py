"""Experiments: labelling replayed with an oracle over labelled archives, and what is learnt from that.

:mod:`.dataset` what can be replayed; :mod:`.sources` where it comes from; :mod:`.splits` what is asked and what tests;
:mod:`.plan` one run and what a round of it reports; :mod:`.replay` that run; :mod:`.runs` many of them at once, kept in
files (:mod:`.results`, :mod:`.record`); :mod:`.evidence` what may be concluded; :mod:`.experiments` those of the papers
and our own; :mod:`.report` the page that shows them; :mod:`.conduct` all of it, from the dataset to the page.
"""
