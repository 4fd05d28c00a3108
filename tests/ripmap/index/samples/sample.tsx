import { Button } from "./button";
export const Panel = (props: { title: string }) => <Button label={props.title} />;
export function App(): JSX.Element { return <Panel title="the main panel" />; }
