"""Sphinx configuration: make docs."""

import mmpose_wloss

project = 'mmpose_wloss'
author = 'The mmpose_wloss authors'
release = version = mmpose_wloss.__version__
extensions = [
    'myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.mathjax',
    'sphinx.ext.napoleon', 'sphinx.ext.viewcode'
]
myst_enable_extensions = ['dollarmath']
myst_heading_anchors = 3
autodoc_typehints = 'none'
autodoc_member_order = 'bysource'
exclude_patterns = ['_build']
html_theme = 'furo'
html_title = f'mmpose_wloss {version}'
