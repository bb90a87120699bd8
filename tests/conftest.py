"""What every test needs."""

from models.torchvision_operators import declare_operators

# transformers imports torchvision, which needs two operators that the CPU build of torch does not have.
declare_operators()
