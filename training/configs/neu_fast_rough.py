"""The fast bundle for a rough line: tiles at any angle, from uneven columns, with dead and hot pixels.

Claim: none yet; to beat neu-fast's published figures on `rough` in training/results/evaluate-neu-fast.json.
Cost: about 40 minutes on two cores.

    python -m training train neu-fast-rough --data DATA/neu-det \
        --weights DATA/mobilenetv2/mobilenet_v2_0.35_no_top.weights.h5 --auxiliary DATA/x-sdd/images
"""

from training import configs

# -- network
name = "neu-fast-rough"
width = 0.35
input_px = 128
dropout = 0.2
l2 = 1e-4

# -- data: as neu-fast
tiles = {
    "clean_quilted": 700,
    "clean_textures": 700,
    "cut": 800,
    "cut_pictures": 600,
    "generated_defects": 480,
    "generated_clean": 240,
}
auxiliary = configs.X_SDD
augment = {"contrast": 0.65, "rough": 0.35}
ground = "reviewed"

# -- course
stages = (
    {"epochs": 1, "learning_rate": 3e-3, "train_from": "head"},
    {"epochs": 65, "learning_rate": 5e-4},
)
rounding = {"epochs": 16, "learning_rate": 1e-4}
batch = 32
label_smoothing = 0.05
pointing = 0.3
seed = 1
