"""The large bundle: MobileNetV2 of width 1.0 at 224 px, the source project's geometry.

Most epochs run at 128 px, which costs a third, the last ones at full size: BatchNorm is frozen and the head pools
globally, so the weights fit every size. The stem and the first two blocks stay as ImageNet left them, which saves
another third (LOG.md).

Claim: see training/results/evaluate-neu-224.json.
Cost: about half an hour on two cores (70-120 s for 4,000 tiles at 224 px, a third of that at 128 px).

    python -m training train neu-224 --data DATA/neu-det \
        --weights DATA/mobilenetv2/mobilenet_v2_1.0_no_top.weights.h5 --auxiliary DATA/x-sdd/images
"""

from training import configs

# -- network
name = "neu-224"
width = 1.0
input_px = 224
dropout = 0.2
l2 = 1e-4

# -- data: beside the 1,440 training pictures, and half of the X-SDD classes that have no NEU name
tiles = {
    "clean_quilted": 500,
    "clean_textures": 400,
    "cut": 600,
    "cut_pictures": 450,
    "generated_defects": 300,
    "generated_clean": 150,
}
auxiliary = configs.X_SDD

# -- course
stages = (
    {"epochs": 1, "learning_rate": 1e-3, "train_from": "head", "input_px": 128},
    {"epochs": 12, "learning_rate": 3e-4, "train_from": "block_3_expand", "input_px": 128},
    {"epochs": 4, "learning_rate": 1.5e-4, "train_from": "block_3_expand"},
)
rounding = {"epochs": 2, "learning_rate": 1e-4}
batch = 32
label_smoothing = 0.05
pointing = 0.3
seed = 1
