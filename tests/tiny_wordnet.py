"""A WordNet of a few nouns, in the files and at the offsets of the real one where tests need it."""

from collections import defaultdict
from pathlib import Path

SYNSETS = """
n00001740 03 entity <
n00021939 03 artifact < n00001740
n00007846 03 person individual someone < n00001740
n00015388 03 animal beast < n00001740
n01861778 05 mammal < n00015388
n02084071 05 dog domestic_dog < n01861778
n02087000 05 hound < n02084071
n02088466 05 bloodhound < n02087000
n02115335 05 wild_dog < n01861778
n02123000 05 wolf < n01861778
n09886000 18 dog frump < n00007846
n02512053 05 fish < n00015388
n01471000 05 osteichthyes < n02512053
n01429000 05 teleost < n01471000
n01428000 05 soft-finned < n01429000
n01438000 05 cypriniform < n01428000
n01439000 05 cyprinid < n01438000
n01440764 05 tench Tinca_tinca < n01439000
n02009000 05 crane < n00015388
n02912000 05 small_white < n00015388
n03126000 06 crane < n00021939
n03094503 06 container < n00021939
n04524313 06 vehicle < n03094503
n04490091 06 truck < n04524313
n03345487 06 fire_engine fire_truck < n04490091
n03790512 06 motorcycle bike < n04524313
n02834778 06 bicycle bike < n04524313
n10287213 18 man < n00007846
n10600000 18 skateboarder < n00007846
n09700000 18 white < n00007846
n07942152 14 people < n00001740
n08266235 14 table < n00001740
n02020000 05 crab < n00015388
n02021000 05 hermit_crab < n00015388
n09270000 17 little_dog < n00001740
n07470000 11 dog_show < n00001740
n07697537 13 hot_dog < n00001740
n03405000 06 shipping_container < n00021939
n04379243 06 table < n00021939
n03346000 06 fire_hydrant < n00021939
n07302836 11 fire < n00001740
n04564698 06 way < n00021939
n04334599 06 street < n04564698
n05564590 05 paw < n05220461
n05220461 08 body_part < n00001740
n13086908 20 plant_part < n00001740
n07739000 13 apple < n13086908
n12707000 20 blossom < n13086908
n03931000 06 picture < n00021939
n04200000 06 shirt < n00021939
"""
"""Id, lexicographer file, lemmas, and after < the hypernyms."""

COUNTS = """
dog%1:05:00:: 1 42
white%1:18:00:: 1 3
white%3:00:01:: 1 60
white%5:00:00:pale:00 2 4
fire%2:30:00:: 1 40
"""
"""Sense keys, sense numbers, and how often tagged texts have them."""


def write_wordnet(folder: Path) -> Path:
    """Write the files into a folder that is there, and return it."""
    offsets: dict[str, list[str]] = defaultdict(list)
    with (folder / "data.noun").open("wb") as data:
        for line in filter(None, SYNSETS.splitlines()):
            left, right = line.split("<")
            synset_id, category, *lemmas = left.split()
            words = " ".join(f"{lemma} 0" for lemma in lemmas)
            pointers = " ".join(f"@ {above[1:]} n 0000" for above in right.split())
            data.seek(int(synset_id[1:]))
            count = len(right.split())
            row = f"{synset_id[1:]} {category} n {len(lemmas):02x} {words} {count:03} {pointers}"
            data.write(f"{row} | a gloss; of @ nothing\n".encode())
            for lemma in lemmas:
                offsets[lemma.lower()].append(synset_id[1:])
    index = [
        f"{lemma} n {len(found)} 1 @ {len(found)} 0 {' '.join(found)}  \n"
        for lemma, found in offsets.items()
    ]
    licence = "  1 This is a tiny WordNet.  \n"
    (folder / "index.noun").write_text(licence + "".join(index))
    (folder / "noun.exc").write_text("wolves wolf\nmen man\n")
    (folder / "cntlist.rev").write_text(COUNTS.lstrip())
    return folder
