"""What is asked of interactions: knowledge kept, dropped and learned; figures; reports; the command line."""

import lazy_loader

# The stub beside this file is the table of contents. A name is imported when it is first asked for: `harsanyi
# --help` need not wait for torch.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
