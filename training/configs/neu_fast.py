"""The fast bundle: MobileNetV2 of width 0.35 at 128 px, shrunk from the same 200 px field of view as neu-224.

Claim: see training/results/evaluate-neu-fast.json and crossval.json.
Cost: about half an hour on two cores, ten minutes of it for following.

    python -m training train neu-fast --data DATA/neu-det \
        --weights DATA/mobilenetv2/mobilenet_v2_0.35_no_top.weights.h5 --auxiliary DATA/x-sdd/images
"""

from training import configs

# -- network
name = "neu-fast"
width = 0.35
input_px = 128
dropout = 0.2
l2 = 1e-4

# -- data: beside the 1,440 training pictures, and half of the X-SDD classes that have no NEU name
tiles = {
    "clean_quilted": 700,
    "clean_textures": 700,
    "cut": 800,
    "cut_pictures": 600,
    "generated_defects": 480,
    "generated_clean": 240,
}
auxiliary = configs.X_SDD
augment = {"contrast": 0.65}
ground = "reviewed"

# -- course
stages = (
    {"epochs": 1, "learning_rate": 3e-3, "train_from": "head"},
    {"epochs": 55, "learning_rate": 5e-4},
)
rounding = {"epochs": 16, "learning_rate": 1e-4}
batch = 32
label_smoothing = 0.05
pointing = 0.3
seed = 1
