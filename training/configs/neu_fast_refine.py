"""A few more slow epochs for the fast bundle, from an existing one: after the generator or the clean steel changed.

Claim: see training/results/evaluate-neu-fast.json; the comparison with its start is in the run's comparison.json.
Cost: four minutes on two cores.

    python -m training train neu-fast-refine --init BUNDLE_OR_RUN --data DATA/neu-det
"""

# -- network
name = "neu-fast-refine"
width = 0.35
input_px = 128
dropout = 0.2
l2 = 1e-4

# -- data: beside the 1,440 training pictures
tiles = {
    "clean_quilted": 500,
    "clean_textures": 300,
    "cut": 650,
    "cut_pictures": 400,
    "generated_defects": 480,
    "generated_clean": 200,
}
ground = "reviewed"

# -- course
refines = True
stages = ({"epochs": 8, "learning_rate": 4e-4},)
batch = 32
label_smoothing = 0.05
seed = 2
