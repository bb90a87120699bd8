"""Networks of timm, torchvision and transformers, of Python packages, and adapters of peft."""
