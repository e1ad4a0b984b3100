# %% [markdown]
# The library in ten cells. Open this file in VS Code, or in Jupyter with Jupytext, or run it from
# a clone: `python -m tests.tour`. It captions a photo that comes with matplotlib; put the path of
# one of your own in the second cell.

# %% 1. Load the released model, which comes with the package
import captioner

model = captioner.load_model()

# %% 2. Caption a photo: a path, a PIL image or an HWC uint8 array
from pathlib import Path

import matplotlib as mpl

path = Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg"
caption = model.generate_caption(path)
print(caption)

# %% 3. For each word: its probability, and what else was probable
for word in caption.words:
    others = ", ".join(f"{text} {probability:.0%}" for text, probability in word.alternatives[:3])
    print(f"{word.text:12} {word.probability:4.0%}   else: {others}")

# %% 4. See where the model looked for each word
from captioner.visualization import attention_sheet

photo = captioner.load_image(path)
sheet = attention_sheet(photo, caption)  # a matplotlib figure, which notebooks show
overlays = model.visualize_attention(photo, caption)  # or one PIL image per word

# %% 5. Encode the photo once; every method takes the features in place of the photo
features = model.encode(photo)
candidates = model.generate_n_best([features], num_captions=3, diversity=0.5)[0]  # best first
for candidate in candidates:
    print(f"{candidate.score:.2f}  {candidate}")

# %% 6. Sample, in place of searching for the most probable caption
samples = [model.generate_caption(features, temperature=0.8, seed=seed) for seed in range(3)]
print(*samples, sep="\n")

# %% 7. Constrain the caption: how it begins, and which words it must not contain
constrained = model.generate_caption(features, prefix="a smiling", banned_words=["man"])
print(constrained)

# %% 8. Replace a word, and let the model complete the caption from there
second_choice = caption.words[1].alternatives[0][0]
branch = model.branch(features, caption, position=1, word=second_choice)
print(branch)

# %% 9. Score a caption of your own: a lower perplexity is less surprising to the model
own = model.score_caption(features, "an astronaut in front of a flag")
print(f"{own.perplexity:.1f} for yours, {caption.perplexity:.1f} for the model's own")

# %% 10. Check the attention: how much does a word lose when a region of the photo is hidden?
occlusion = model.occlusion(features, caption)
for word, importance in zip(caption.words, occlusion.drops, strict=True):
    print(f"{word.text:12} loses at most {importance.max():4.0%}")
print(f"correlation of attention and importance: {occlusion.agreement:.2f}")
