import { keepsContract } from "./contract.ts";
import { LAYER_CASES } from "./contract-cases.ts";

keepsContract(LAYER_CASES);
