"""What a judge is told and what it says, beside ``asks.py``: the truth of a folder, and facts, one for each label."""

import json

import numpy as np


def mask_of(one):
    height, width = one["size"]
    return np.repeat(np.arange(len(one["runs"])) % 2, one["runs"]).reshape(width, height).T.astype(bool)


def runs_of(mask):
    flat = np.asarray(mask, bool).T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], edges, [len(flat)]])).tolist()
    return [0, *runs] if flat[0] else runs


def fact(image, label, kind, group, data, size=None):
    return {"image": image, "label": label, "kind": kind, "group": group, "data": data, "size": size}


def of_mask(image, label, group, mask):
    return fact(image, label, "mask", group, runs_of(mask), list(np.shape(mask)))


def truth(folder):
    with open(f"{folder}/truth.json") as file:
        whole = json.load(file)
    names = {one["id"]: one for one in whole["categories"]}
    for image in whole["images"]:
        own = [
            one | {"of": names[one["category_id"]]} for one in whole["annotations"] if one["image_id"] == image["id"]
        ]
        groups = {name: number for number, name in enumerate(dict.fromkeys(one["group"] for one in own), 1)}
        yield image, [one | {"number": groups[one["group"]]} for one in own]


def flat_points(one):
    return np.reshape(one["keypoints"], (-1, 3)), one["of"]["keypoints"]
