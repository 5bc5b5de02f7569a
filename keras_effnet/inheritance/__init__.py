"""Weights follow the scale: a network of another size starts from what a trained one has learned.

| file | answers |
|---|---|
| `maps` | which channels and blocks of the old network become those of the new one |
| `pairing` | which layer of the new network inherits from which of the old one |
| `arrays` | what becomes of one layer's weights |
| `identity` | how a block that is new starts as the identity |
| `adapt` | how a stem takes images of other channels |
| `plan`, `report` | all of it for one pair of networks, and what became of each layer |
| `compare` | by how much two networks differ, stage by stage |
| `grow` | the Keras models on both ends |
| `members`, `scale` | which published network is near; `scale_model` |
| `recalibrate` | BatchNorm statistics taken anew |
"""
