"""Networks: by name or file, from checkpoints of the common trainers, with read-outs, and trained anew.

>>> from harsanyi import models
>>> network = models.load("small:resnet20", "random")
>>> network.kind, network.head, len(network.classes)
('image', 'linear', 10)
"""

import lazy_loader

from harsanyi.models.loading.torchvision_operators import declare_operators

declare_operators()  # before anything imports torchvision, timm and transformers included

# The stub beside this file is the table of contents: a network need not wait for the libraries of training.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
