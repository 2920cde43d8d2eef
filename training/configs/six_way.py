"""Six labels and pictures alone, at the fast bundle's size: the row "before" of the line benchmark and foreign sets.

Claim: NEU alone is nearly solved; every tile of another mill's strip is a defect to it.
Cost: three minutes on two cores.

    python -m training train six-way --data DATA/neu-det --weights DATA/mobilenetv2/mobilenet_v2_0.35_no_top.weights.h5
"""

# -- network
name = "six-way"
width = 0.35
input_px = 128

# -- data: the pictures alone
clean = False
augment = {
    "exposure": 0.7,
    "contrast": 0.55,
    "brightness": 30.0,
    "gamma": 0.7,
    "light": 0.35,
    "blur": 0.3,
    "noise": 0.35,
    "jpeg": 0.3,
}

# -- course
stages = (
    {"epochs": 1, "learning_rate": 3e-3, "train_from": "head"},
    {"epochs": 20, "learning_rate": 1.5e-3},
)
batch = 32
label_smoothing = 0.05
seed = 1
