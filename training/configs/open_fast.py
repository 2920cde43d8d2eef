"""The open bundle: as neu-fast, from X-SDD (Apache-2.0) and generated strip alone, and from no ImageNet weights.

For who may not use weights that learned from pictures without a licence. ImageNet's pictures have none, so the network
begins at random; NEU's have none either.

Claim: 194 of 236 held-out pictures of X-SDD by arg-max, 176 as published, int8 (results/evaluate-open-fast.json).
Cost: about 25 minutes on two idle cores.

    python -m training prepare --data DATA/x-sdd/images --hold-out 4 --output runs/x-sdd
    python -m training train open-fast --data DATA/x-sdd/images --manifest runs/x-sdd/manifest.json
"""

# -- network
name = "open-fast"
width = 0.35
input_px = 128
start = "random"
freeze_batch_norm = False
dropout = 0.2
l2 = 1e-4

# -- data: beside three quarters of X-SDD's pictures, at their own scale and as strips of the size of a line's tile
local = ("iron sheet ash", "slag inclusion", "surface scratch")
boxes = "seen"
repeats = 2
tiles = {
    "clean_quilted": 600,
    "clean_textures": 300,
    "cut": 500,
    "cut_pictures": 350,
    "generated_defects": 480,
    "generated_clean": 200,
}
drawn = {
    "scratches": "surface scratch",
    "inclusion": "slag inclusion",
    "crazing": "",
    "patches": "",
    "pitted_surface": "",
    "rolled-in_scale": "",
}
augment = {"contrast": 0.65, "rough": 0.2}

# -- course
stages = (
    {"epochs": 30, "learning_rate": 2e-3, "input_px": 64},
    {"epochs": 14, "learning_rate": 1e-3},
)
rounding = {"epochs": 8, "learning_rate": 1e-4}
batch = 32
label_smoothing = 0.05
pointing = 0.3
seed = 1
